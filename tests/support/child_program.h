// For tests: the program as a process of its own.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/atomic_file.h"

namespace nearplane {

struct Finished {
  int code = -1;  // exit code, or minus the signal
  std::string out, err;
};

class ChildProgram {
 public:
  /// Starts `program`; what it prints goes to the files `out` and `err` of `folder`.
  ChildProgram(const std::string& program, const std::vector<std::string>& arguments,
               const std::filesystem::path& folder, const std::filesystem::path& input = "/dev/null")
      : folder_(folder), pid_(::fork()) {
    if (pid_ != 0) return;
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    if (!std::freopen((folder / "out").c_str(), "w", stdout)) ::_exit(126);
    if (!std::freopen((folder / "err").c_str(), "w", stderr)) ::_exit(126);
    if (!std::freopen(input.c_str(), "r", stdin)) ::_exit(126);
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }
  pid_t pid() const { return pid_; }
  Finished finish() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_file(folder_ / "out"),
            read_file(folder_ / "err")};
  }

 private:
  std::filesystem::path folder_;
  pid_t pid_;
};

}  // namespace nearplane
