// Decoders of tokenizer.json: from the texts of tokens to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace nearplane {

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Rewrites the parts in place; the text is all of them, one after the other. Byte tokens become their bytes, also
  /// where those are no valid UTF-8 (the reference writes U+FFFD instead; here the caller sees what the model said).
  virtual void apply(std::vector<std::string>& parts) const = 0;
};

/// From the value of "decoder"; null gives one that puts a space between tokens. Error{unsupported} names a type not
/// known here.
std::unique_ptr<Decoder> make_decoder(const Json& json, const std::string& where);

}  // namespace nearplane
