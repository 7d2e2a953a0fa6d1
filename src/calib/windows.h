// Text -> windows of tokens: what calibration and evaluation read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nearplane/observer.h"
#include "nearplane/quantize.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

using Window = std::vector<Token>;

/// visit(object, "file, line n", n) for each line of `text` that is not blank; `file` names it. Error{bad_input} for a
/// line that is no JSON.
void for_each_json_line(std::string_view text, const std::string& file,
                        const std::function<void(const Json&, const std::string&, std::int64_t)>& visit);

/// The documents of a file: JSON lines (name ends in .jsonl) give the "text" field of each line, any other file is one
/// document. Error{io}; Error{bad_input} naming the line for JSON that is not an object with a string "text", and for a
/// file without any text.
std::vector<std::string> read_documents(const std::filesystem::path& path);

/// Windows of options.length tokens from options.files: all documents of all files (joined by two line breaks), cut in
/// sequence, options.samples of them drawn with the seed, in text order. Fewer than asked: a warning to the observer.
/// Error{bad_input} if there is less than one window.
std::vector<Window> calibration_windows(const CalibrationOptions& options, const Tokenizer& tokenizer,
                                        Observer& observer);

}  // namespace nearplane
