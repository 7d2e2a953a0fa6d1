// Texts at which a growing text ends.
// Problem: a stop text may arrive in pieces, so the end of what has come may still turn out to belong to one. What is
// cut must not depend on how the text was cut into tokens: the stop text that is complete first ends it.
// Cost: a search of the whole text for every stop text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nearplane {

class StopStrings {
 public:
  /// None of them empty.
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  struct Safe {
    std::size_t bytes;  // so many bytes of the text come before every stop text, whatever follows
    bool stopped;       // and there is one behind them
  };
  Safe safe(std::string_view text) const;

 private:
  std::vector<std::string> stops_;
};

}  // namespace nearplane
