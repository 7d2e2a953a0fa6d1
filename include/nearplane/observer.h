// How a long call tells its caller where it stands, and how the caller stops it. The library itself never prints.
// All calls come from the thread that called the library.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nearplane {

struct Progress {
  std::string stage;         // "calibrate", "quantize", "evaluate", "export", ...
  std::string item;          // the layer or window that was just finished
  std::int64_t done = 0;     // items finished
  std::int64_t total = 0;    // items in all
  double layer_error = -1;   // relative error of the item just finished; negative where it has none
  double seconds_left = -1;  // estimate; negative while unknown
  std::int64_t memory = 0;   // resident bytes of the process now
};

enum class Severity { info, warning };

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_progress(const Progress&) {}
  virtual void on_message(Severity, std::string_view) {}
  /// Asked between items; true makes the running call throw Error{cancelled} with nothing half-written
  /// (quantize() keeps what it finished, to go on with).
  virtual bool cancelled() const { return false; }
};

}  // namespace nearplane
