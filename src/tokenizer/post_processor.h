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

}  // namespace nearplane
