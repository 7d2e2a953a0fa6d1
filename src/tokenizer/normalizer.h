// Normalizers of tokenizer.json: what is done to a text before anything else looks at it.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"

namespace nearplane {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// `text` is valid UTF-8, and so is the result.
  virtual std::string apply(std::string text) const = 0;
};

/// From the value of "normalizer"; null gives one that changes nothing. Error{unsupported} names a type not known here.
std::unique_ptr<Normalizer> make_normalizer(const Json& json, const std::string& where);

}  // namespace nearplane
