// The one exception of the library: bad input, file or user. It names what is wrong and where (file, tensor, numbers).
// A bug is an assert; a numerical outcome is part of a result, never an exception unless nothing can go on.
#pragma once

#include <stdexcept>
#include <string>

namespace nearplane {

enum class ErrorCode {
  bad_input,    // a file, option or text that cannot be used; exit code 2
  io,           // the machine refused: missing file, full disk, no permission; exit code 2
  unsupported,  // well formed, but a feature this version does not know; exit code 2
  numerical,    // every stated repair failed; exit code 3
  cancelled,    // the caller asked to stop; exit code 130
};

class Error : public std::runtime_error {
 public:
  /// `where` names the place (file, tensor, option); what() reads "where: what".
  Error(ErrorCode code, const std::string& what, const std::string& where = {})
      : std::runtime_error(where.empty() ? what : where + ": " + what), code_(code), where_(where) {}

  ErrorCode code() const { return code_; }
  const std::string& where() const { return where_; }

 private:
  ErrorCode code_;
  std::string where_;
};

}  // namespace nearplane
