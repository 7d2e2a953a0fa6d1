// record.json: what was asked, what was done, what came out; for people, reports and later comparison.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "nearplane/quantize.h"

namespace nearplane {

Json record_json(const std::filesystem::path& model, const QuantizeOptions& options, const QuantizeResult& result);

/// The layers of a record, and its embedding and head in codes; Error{bad_input} at `where`.
std::vector<LayerRecord> layers_of_record(const Json& record, const std::string& where);
std::vector<EmbeddingRecord> embeddings_of_record(const Json& record, const std::string& where);

}  // namespace nearplane
