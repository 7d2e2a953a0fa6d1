// Post-processors of tokenizer.json, as far as they concern one text: tokens put before and behind it.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

struct SpecialFrame {
  std::vector<Token> before, behind;
};

/// From the value of "post_processor"; null gives an empty frame. Error{unsupported} names a type not known here.
SpecialFrame parse_post_processor(const Json& json, const std::string& where);

struct SpecialToken {
  std::string text;
  std::int64_t id;
};
/// The other way round: a TemplateProcessing that puts these tokens before and behind a text (and each of a pair).
Json template_json(const std::vector<SpecialToken>& before, const std::vector<SpecialToken>& behind);

}  // namespace nearplane
