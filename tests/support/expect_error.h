// "This call must fail with this code, and its message must name these things."
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "nearplane/error.h"

namespace nearplane {

template <class F>
void expect_error(ErrorCode code, std::initializer_list<std::string> parts, const F& call) {
  try {
    call();
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    for (const auto& part : parts)
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << "'" << part << "' not in: " << error.what();
  }
}

}  // namespace nearplane
