#include "runtime/stop_strings.h"

#include <algorithm>

namespace nearplane {
namespace {

// Bytes at the end of `text` that `stop` begins with; less than all of `stop`.
std::size_t begun(std::string_view text, std::string_view stop) {
  std::size_t n = std::min(text.size(), stop.size() - 1);
  while (n > 0 && !text.ends_with(stop.substr(0, n))) --n;
  return n;
}

}  // namespace

StopStrings::Safe StopStrings::safe(std::string_view text) const {
  std::size_t begin = 0, end = text.npos;  // of the stop text that is complete first, the longest if there are several
  std::size_t held = 0;
  for (const auto& stop : stops_) {
    const auto at = text.find(stop);
    if (at == text.npos) {
      held = std::max(held, begun(text, stop));
    } else if (at + stop.size() < end || (at + stop.size() == end && at < begin)) {
      begin = at, end = at + stop.size();
    }
  }
  if (end != text.npos) return {begin, true};
  return {text.size() - held, false};
}

}  // namespace nearplane
