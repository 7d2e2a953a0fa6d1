// The observer of the command line: one calm line on a terminal, plain lines in a log, and a log file that remains.
#pragma once

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "nearplane/observer.h"

namespace nearplane::cli {

/// "12 s", "3:05 min", "2:10 h".
std::string duration(double seconds);

/// Makes Ctrl-C (and SIGTERM) ask the running call to stop; a second one ends the program at once.
void catch_interrupts();

class Console : public Observer {
 public:
  /// `log_file` may be empty. Progress goes to stderr, so that stdout holds results alone. Throws Error{io}.
  explicit Console(bool quiet, const std::filesystem::path& log_file = {});
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void on_progress(const Progress& progress) override;
  void on_message(Severity severity, std::string_view text) override;
  bool cancelled() const override;
  /// A line for the log file alone.
  void log(std::string_view text);

 private:
  void clear_line();
  void show(std::string_view text);

  bool quiet_, terminal_;
  bool line_open_ = false;
  std::FILE* log_ = nullptr;
  std::chrono::steady_clock::time_point last_shown_{};
};

}  // namespace nearplane::cli
