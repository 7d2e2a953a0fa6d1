// The export with the size of a file as a parameter; nearplane/export.h is the public form.
#pragma once

#include "nearplane/export.h"

namespace nearplane {

/// As the public export_store; no file of tensors exceeds `shard_bytes` of data unless one layer alone does.
ExportResult export_store(const std::filesystem::path& store, ExportFormat format, const std::filesystem::path& out,
                          std::int64_t shard_bytes, Observer& observer);

}  // namespace nearplane
