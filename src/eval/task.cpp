#include "eval/task.h"

#include <algorithm>

#include "base/atomic_file.h"
#include "base/check.h"

namespace nearplane {
namespace {

Question parse_question(const Json& json, const std::string& where, std::int64_t line) {
  Question out;
  out.line = line;
  out.query = json_get<std::string>(json, "query", where);
  out.choices = json_get<std::vector<std::string>>(json, "choices", where);
  const auto gold = json_get<std::int64_t>(json, "gold", where);
  if (out.choices.size() < 2) fail_input(where, "{} choices leave none", out.choices.size());
  if (std::ranges::find(out.choices, "") != out.choices.end()) fail_input(where, "a choice is empty");
  if (gold < 0 || gold >= std::ssize(out.choices))
    fail_input(where, "gold {} is none of {} choices", gold, out.choices.size());
  out.gold = static_cast<std::size_t>(gold);
  return out;
}

}  // namespace

std::vector<Question> read_questions(const std::filesystem::path& path) {
  const auto text = read_file(path);
  std::vector<Question> out;
  for_each_json_line(text, path.string(), [&](const Json& json, const std::string& where, std::int64_t line) {
    out.push_back(parse_question(json, where, line));
  });
  if (out.empty()) fail_input(path.string(), "holds no questions");
  return out;
}

ChoiceTokens cut_choice(const Tokenizer& tokenizer, const std::string& query, const std::string& choice,
                        std::int64_t longest, const std::string& where) {
  const auto end = query.find_last_not_of(" \t\r\n\v\f") + 1;  // 0 if there is nothing else
  const auto whole = tokenizer.encode(query + " " + choice, /*add_special=*/false);
  const auto context = std::ssize(tokenizer.encode(query.substr(0, end), /*add_special=*/false));
  const auto asked = std::ssize(whole) - context;
  if (context == 0) fail_input(where, "nothing stands before the choices");
  if (asked <= 0) fail_input(where, "the choice \"{}\" adds no token to its query", choice);
  if (longest > 0 && asked > longest)
    fail_input(where, "a choice of {} tokens exceeds the model's context of {}", asked, longest);
  // The last token predicts nothing, so that one more than the context fits.
  const auto kept = longest > 0 ? std::min<std::int64_t>(std::ssize(whole), longest + 1) : std::ssize(whole);
  return {Window(whole.end() - kept, whole.end()), asked};
}

std::int64_t characters(const std::string& text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

}  // namespace nearplane
