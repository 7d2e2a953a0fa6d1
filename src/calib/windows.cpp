#include "calib/windows.h"

#include <algorithm>
#include <numeric>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/json.h"
#include "base/rng.h"

namespace nearplane {

void for_each_json_line(std::string_view text, const std::string& file,
                        const std::function<void(const Json&, const std::string&, std::int64_t)>& visit) {
  std::size_t begin = 0;
  for (std::int64_t line = 1; begin < text.size(); ++line) {
    const auto end = std::min(text.find('\n', begin), text.size());
    const auto part = text.substr(begin, end - begin);
    begin = end + 1;
    if (part.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto where = fmt::format("{}, line {}", file, line);
    visit(parse_json(part, where), where, line);
  }
}

std::vector<std::string> read_documents(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  std::vector<std::string> documents;
  if (path.extension() != ".jsonl") {
    if (!text.empty()) documents.push_back(text);
  } else {
    for_each_json_line(text, path.string(), [&](const Json& json, const std::string& where, std::int64_t) {
      auto document = json_get<std::string>(json, "text", where);
      if (!document.empty()) documents.push_back(std::move(document));
    });
  }
  if (documents.empty()) fail_input(path.string(), "holds no text");
  return documents;
}

std::vector<Window> calibration_windows(const CalibrationOptions& options, const Tokenizer& tokenizer,
                                        Observer& observer) {
  std::string text, names;
  for (const auto& file : options.files) {
    for (const auto& document : read_documents(file)) {
      if (!text.empty()) text += "\n\n";
      text += document;
    }
    names += (names.empty() ? "" : ", ") + file.string();
  }
  const auto tokens = tokenizer.encode(text, /*add_special=*/false);
  const auto available = static_cast<std::int64_t>(tokens.size()) / options.length;
  if (available == 0)
    fail_input(names, "{} tokens of calibration text are less than one window of {}", tokens.size(), options.length);
  if (available < options.samples)
    observer.on_message(Severity::warning, fmt::format("{}: {} windows of {} tokens instead of the {} asked for", names,
                                                       available, options.length, options.samples));
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(available));
  std::iota(chosen.begin(), chosen.end(), 0);
  Rng rng(options.seed);
  const auto count = std::min(available, options.samples);
  for (std::int64_t i = 0; i < count; ++i)
    std::swap(chosen[i], chosen[i + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(available - i)))]);
  chosen.resize(static_cast<std::size_t>(count));
  std::sort(chosen.begin(), chosen.end());

  std::vector<Window> windows;
  for (const auto w : chosen)
    windows.emplace_back(tokens.begin() + w * options.length, tokens.begin() + (w + 1) * options.length);
  return windows;
}

}  // namespace nearplane
