// record.json: what was asked, what was done, what came out; for people, reports and later comparison.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "nearplane/quantize.h"

namespace nearplane {

/// All options that the bytes of a store depend on, by the names of the record.
Json options_json(const QuantizeOptions& options);
Json layers_json(const std::vector<LayerRecord>& layers);
Json embeddings_json(const std::vector<EmbeddingRecord>& embeddings);
Json record_json(const std::filesystem::path& model, const QuantizeOptions& options, const QuantizeResult& result);

/// What record_json was given. Error{bad_input} at `where`.
QuantizeResult result_of_record(const Json& record, const std::string& where);

/// The keys "layers" and "embeddings" of a record; Error{bad_input} at `where`.
std::vector<LayerRecord> layers_of_record(const Json& record, const std::string& where);
std::vector<EmbeddingRecord> embeddings_of_record(const Json& record, const std::string& where);

}  // namespace nearplane
