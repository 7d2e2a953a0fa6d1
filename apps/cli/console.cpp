#include "console.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "nearplane/error.h"

namespace nearplane::cli {
namespace {

std::atomic<bool> interrupted{false};

extern "C" void on_interrupt(int signal) {
  if (interrupted.exchange(true)) ::_exit(128 + signal);
}

std::string describe(const Progress& p) {
  auto text = fmt::format("{} {}/{}  {}", p.stage, p.done, p.total, p.item);
  if (p.layer_error >= 0) text += fmt::format("  error {:.3e}", p.layer_error);
  if (p.memory > 0) text += fmt::format("  {} MiB", p.memory >> 20);
  if (p.seconds_left >= 0 && p.done < p.total) text += "  " + duration(p.seconds_left) + " left";
  return text;
}

}  // namespace

std::string duration(double seconds) {
  const auto s = static_cast<long>(seconds + 0.5);
  if (s < 100) return fmt::format("{} s", s);
  if (s < 6000) return fmt::format("{}:{:02} min", s / 60, s % 60);
  return fmt::format("{}:{:02} h", s / 3600, s / 60 % 60);
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGXFSZ, SIG_IGN);  // a file-size limit becomes an error of write(), not a death
}

Console::Console(bool quiet, const std::filesystem::path& log_file)
    : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) != 0) {
  if (log_file.empty()) return;
  log_ = std::fopen(log_file.c_str(), "a");
  if (!log_) throw Error(ErrorCode::io, fmt::format("cannot create: {}", std::strerror(errno)), log_file.string());
}

Console::~Console() {
  clear_line();
  if (log_) std::fclose(log_);
}

void Console::on_progress(const Progress& progress) {
  const auto text = describe(progress);
  log(text);
  // A terminal sees ten updates a second at most, a log one line every ten seconds and the last.
  const auto now = std::chrono::steady_clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10000);
  if (progress.done < progress.total && now - last_shown_ < pause) return;
  last_shown_ = now;
  show(text);
  if (progress.done == progress.total) clear_line();
}

void Console::on_message(Severity severity, std::string_view text) {
  const auto line = fmt::format("{}{}", severity == Severity::warning ? "warning: " : "", text);
  log(line);
  if (quiet_ && severity != Severity::warning) return;
  clear_line();
  fmt::print(stderr, "{}\n", line);
}

bool Console::cancelled() const { return interrupted; }

void Console::log(std::string_view text) {
  if (!log_) return;
  fmt::print(log_, "{:%Y-%m-%d %H:%M:%S} {}\n", fmt::localtime(std::time(nullptr)), text);
  std::fflush(log_);
}

void Console::clear_line() {
  if (line_open_) fmt::print(stderr, "\n");
  line_open_ = false;
}

void Console::show(std::string_view text) {
  if (quiet_) return;
  if (!terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  fmt::print(stderr, "\r\033[K{}", text);
  std::fflush(stderr);
  line_open_ = true;
}

}  // namespace nearplane::cli
