// The main job: open the model, get calibration windows, pass over the blocks, write the store.
#include "nearplane/quantize.h"

#include <deque>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/process.h"
#include "base/threads.h"
#include "calib/self_written.h"
#include "pipeline/calibrated_pass.h"
#include "pipeline/mixing.h"
#include "pipeline/record.h"
#include "qtensor/store.h"
#include "quant/quantize_coded.h"
#include "quant/quantize_embedding.h"
#include "quant/quantize_sparse.h"
#include "runtime/network.h"

namespace nearplane {
namespace {

void check_options(const QuantizeOptions& options) {
  if (options.arithmetic != Arithmetic::f32 && options.arithmetic != Arithmetic::bf16)
    fail_input("arithmetic", "calibration takes f32 or bf16");
  const auto& grid = options.grid;
  if (grid.group < 0) fail_input("group", "{} is negative (0 = one scale per row)", grid.group);
  if (!(grid.damping > 0) || grid.damping > 1) fail_input("damping", "{} is outside (0, 1]", grid.damping);
  if (grid.method == Method::ssqr)
    check_sparse(grid, "options");
  else
    is_coded(grid.method) ? check_coded(grid, "options") : check_search(grid, "options");
  if (!(options.drift.strength >= 0) || options.drift.strength > 1)
    fail_input("drift", "a strength of {} is outside [0, 1]", options.drift.strength);
  if (!(options.mix >= 0) || options.mix > 16) fail_input("mix", "{} bits per weight are no target", options.mix);
  if (options.mix > 0 && !is_linear(grid.method))
    fail_input("mix", "chooses bits of integer codes; all other methods take --bits");
  if (options.slope && !is_coded(grid.method))
    fail_input("slope", "shares the bits of entropy-coded methods; integer codes take --mix");
  if (options.embedding_bits != 0 && options.embedding_bits != 8)
    fail_input("embedding-bits", "{} is neither 8 nor 0 (kept as they are)", options.embedding_bits);
  const auto& calibration = options.calibration;
  if (calibration.samples < 1) fail_input("samples", "{} windows are none", calibration.samples);
  if (calibration.length < 2) fail_input("length", "a window of {} tokens is too short", calibration.length);
}

bool needs_calibration(const QuantizeOptions& options) {
  return options.grid.method != Method::rounding || options.grid.scales != ScaleSearch::minmax ||
         options.drift.wanted() || options.mix > 0;
}

// Groups must divide every layer's inputs: found before the work starts, not at layer 6.
void check_groups(const ModelConfig& config, const GridOptions& grid) {
  for (const auto kind : kLinearKinds) {
    const auto cols = linear_shape(config, kind)[1];
    if (grid.group > 0 && (is_linear(grid.method) || grid.method == Method::spqr) && cols % grid.group != 0)
      fail_input("group", "groups of {} do not divide the {} inputs of {}", grid.group, cols, linear_name(0, kind));
  }
}

std::vector<Window> windows_for(const Network& network, const QuantizeOptions& options, Observer& observer) {
  const auto& calibration = options.calibration;
  const auto& config = network.config();
  if (config.max_position > 0 && calibration.length > config.max_position)
    fail_input("length", "windows of {} tokens exceed the model's context of {}", calibration.length,
               config.max_position);
  if (calibration.files.empty()) return write_windows(network, calibration, compute_of(options.arithmetic), observer);
  return calibration_windows(calibration, *network.tokenizer, observer);
}

void write_side_files(const Model& model, StoreWriter& store) {
  store.write_text("config.json", model.hf_config().dump(2) + "\n");
  if (!model.gguf_metadata().is_null()) {
    const auto where = model.path().string();
    store.write_text("tokenizer.json", tokenizer_json_from_gguf(model.gguf_metadata(), where).dump() + "\n");
    store.write_text("tokenizer_config.json", tokenizer_config_from_gguf(model.gguf_metadata(), where).dump(2) + "\n");
  }
  for (const auto& file : model.side_files()) store.write_text(file.filename().string(), read_file(file));
}

QuantizedEmbedding round_embedding(const Model& model, const std::string& name) {
  const auto& tensor = model.tensor(name);
  auto out = quantize_embedding(
      tensor.shape[0], tensor.shape[1],
      [&](std::int64_t r0, std::int64_t count, float* rows) { model.decode_rows(name, r0, count, rows); },
      tensor.where());
  model.release(name);
  return out;
}

// Everything but the layers of the blocks: embedding and head in codes or as the source has them. Vectors are stored as
// f32: a few kilobytes, and the row order of GGUF's q/k biases is undone on the way.
std::vector<EmbeddingRecord> write_rest(const Model& model, bool codes, StoreWriter& store) {
  std::vector<EmbeddingRecord> records;
  std::deque<QuantizedTensor> tables;  // that `quantized` points to
  std::vector<std::pair<std::string, const QuantizedTensor*>> quantized;
  std::vector<KeptTensor> kept;
  std::vector<std::vector<float>> vectors;
  for (const auto& name : model.tensor_names()) {
    const auto& tensor = model.tensor(name);
    const bool matrix = tensor.shape.size() == 2;
    if (matrix && is_in_block(name)) continue;
    if (matrix && codes) {
      auto [table, error] = round_embedding(model, name);
      const auto module = name.substr(0, name.rfind(".weight"));
      records.push_back({module, table.rows, table.cols, table.stored_bytes(), error});
      quantized.emplace_back(module, &tables.emplace_back(std::move(table)));
    } else if (!matrix) {
      const auto& vector = vectors.emplace_back(model.decode_vector(name));
      kept.push_back({name, DType::f32, tensor.shape, std::as_bytes(std::span(vector))});
    } else {
      kept.push_back({name, tensor.dtype, tensor.shape, tensor.bytes});
    }
  }
  store.write_part("rest", quantized, kept);
  return records;
}

}  // namespace

QuantizeResult quantize(const std::filesystem::path& model_path, const std::filesystem::path& store_path,
                        const QuantizeOptions& options, Observer& observer) {
  check_options(options);
  set_thread_count(options.threads);
  Stopwatch watch;
  if (Store::is_store(model_path))
    fail_input(model_path.string(), "is a store: its layers are quantized already; quantize the original model");
  const auto model = std::make_shared<const Model>(Model::open(model_path));
  check_groups(model->config(), options.grid);
  StoreWriter store(store_path);

  QuantizeResult result;
  result.embeddings = write_rest(*model, options.embedding_bits > 0, store);  // first: it may be refused
  const auto keep = [&](std::int64_t block, std::vector<FinishedLayer>& layers) {
    std::vector<std::pair<std::string, const QuantizedTensor*>> tensors;
    for (auto& layer : layers) {
      tensors.emplace_back(layer.record.name, layer.tensor.get());
      result.weights += layer.tensor->rows() * layer.tensor->cols();
      result.stored_bytes += layer.tensor->stored_bytes();
      if (layer.record.predicted_kl >= 0)
        result.predicted_kl = std::max(result.predicted_kl, 0.0) + layer.record.predicted_kl;
      result.layers.push_back(layer.record);
    }
    store.write_part(fmt::format("block-{:05}", block), tensors, {});
  };
  if (needs_calibration(options)) {
    const auto network = open_network(model_path);
    const auto windows = windows_for(network, options, observer);
    for (const auto& window : windows) result.calibration_tokens += std::ssize(window);
    BitPlan bits;
    if (options.mix > 0) bits.mixed = mix_bits(model, network, windows, options, observer);
    if (options.slope) bits.slope = std::make_unique<SharedSlope>(model, network, windows, options, observer);
    quantize_calibrated(model, windows, options, bits, observer, keep);
  } else {
    quantize_plain(model, options, observer, keep);
  }
  write_side_files(*model, store);
  result.seconds = watch.seconds();
  result.peak_memory = peak_resident_bytes();
  store.write_text("record.json", record_json(model_path, options, result).dump(2) + "\n");
  store.finish({{"model", model_path.filename().string()},
                {"weights", result.weights},
                {"stored_bytes", result.stored_bytes},
                {"bits_per_weight", result.bits_per_weight()}});
  return result;
}

}  // namespace nearplane
