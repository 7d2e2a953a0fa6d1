// Translate a native store into the format of another engine. Nothing is quantized again; the result is read back and
// compared bit for bit with the store before it appears under its name.
#pragma once

#include <cstdint>
#include <filesystem>

#include "nearplane/observer.h"

namespace nearplane {

enum class ExportFormat {
  gptq,                // GPTQ v1 checkpoint (AutoGPTQ, GPTQModel, vLLM, transformers)
  gptq_v2,             // the same with zero points as they are (GPTQModel, vLLM)
  compressed_tensors,  // pack-quantized (vLLM, transformers)
  gguf,                // one file in Q4_0, Q4_1, Q8_0 (llama.cpp)
};

struct ExportResult {
  std::int64_t tensors = 0, bytes = 0;
};

/// Writes `out`, which must not exist: a folder, or for gguf a file that ends in .gguf. Error{unsupported} if a layer's
/// codes cannot be carried exactly (naming layer and reason), bad_input, io.
ExportResult export_store(const std::filesystem::path& store, ExportFormat format, const std::filesystem::path& out,
                          Observer& observer);

}  // namespace nearplane
