// A store as one GGUF file for llama.cpp: layers in blocks that say exactly the same, everything else as it is.
#pragma once

#include "nearplane/export.h"

namespace nearplane {

/// export_store for ExportFormat::gguf. Read back through Model before `out` gets its name.
ExportResult export_gguf(const std::filesystem::path& store, const std::filesystem::path& out, Observer& observer);

}  // namespace nearplane
