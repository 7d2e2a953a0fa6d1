// A model or store as evaluation runs it: whole sequences to hidden states, block by block.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "calib/windows.h"
#include "nearplane/observer.h"
#include "runtime/network.h"

namespace nearplane {

inline constexpr std::int64_t kBatchTokens = 16384;  // weights are decoded once per batch
inline constexpr std::int64_t kHeadTokens = 256;     // two logit matrices of 256 x 49,152 are 100 MB

struct Runner {
  Network network;
  Head head;
  Compute compute;

  Runner(const std::filesystem::path& path, Arithmetic arithmetic);
  /// Final hidden states of sequences of any lengths, back to back: [tokens, d]. Error{cancelled}.
  Matrix<float> hidden(std::span<const Window> sequences, const Observer& observer) const;
};

/// Error{bad_input} naming `path` if the two differ in the size of their vocabulary.
void check_same_vocabulary(const Runner& model, const Runner& reference, const std::filesystem::path& path);

}  // namespace nearplane
