// The main job: open the model, get calibration windows, pass over the blocks, write the store; or go on with a job
// that an earlier call did not finish.
#include "nearplane/quantize.h"

#include <deque>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/process.h"
#include "base/threads.h"
#include "calib/self_written.h"
#include "nearplane/machine.h"
#include "pipeline/calibrated_pass.h"
#include "pipeline/journal.h"
#include "pipeline/mixing.h"
#include "pipeline/options.h"
#include "pipeline/record.h"
#include "qtensor/store.h"
#include "quant/quantize_embedding.h"
#include "runtime/network.h"

namespace nearplane {
namespace {

constexpr int kRunVersion = 1;  // goes up when a new version of this program would quantize to other bytes

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
// f32: a few kilobytes, and the row order of GGUF's q/k biases is undone on the way. Returns the part and its records.
Json write_rest(const Model& model, bool codes, StoreWriter& store) {
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
  auto part = store.write_part("rest", quantized, kept);
  for (const auto& tensor : kept) model.release(tensor.name);
  return {{"part", std::move(part)}, {"embeddings", embeddings_json(records)}};
}

// All that the bytes of the store depend on but the calibration text, which is looked for later.
Json run_of(const Model& model, const QuantizeOptions& options) {
  Json run{{"version", kRunVersion}, {"vectors", vector_target()}};
  run.update(options_json(options));
  for (const auto& file : model.files()) run["hash"][file.filename().string()] = hash_file(file);
  return run;
}

class Job {
 public:
  Job(const std::filesystem::path& model_path, std::shared_ptr<const Model> model, const QuantizeOptions& options,
      Journal& journal, Observer& observer)
      : model_path_(model_path),
        model_(std::move(model)),
        options_(options),
        journal_(journal),
        observer_(observer),
        store_(journal.store()) {}

  QuantizeResult run() {
    rest();  // first: it may be refused
    const BlockSink sink{[&](auto block, auto& layers) { return keep(block, layers); },
                         [&](auto, const Json& outcome) { return take(outcome); }};
    if (needs_calibration(options_)) {
      const auto network = open_network(model_path_);
      const auto windows = windows_for(network);
      for (const auto& window : windows) result_.calibration_tokens += std::ssize(window);
      BitPlan bits;
      if (options_.mix > 0) bits.mixed = mix_bits(model_, network, windows, options_, journal_, observer_);
      if (options_.slope)
        bits.slope = std::make_unique<SharedSlope>(model_, network, windows, options_, journal_, observer_);
      quantize_calibrated(model_, windows, options_, bits, journal_, observer_, sink);
    } else {
      quantize_plain(model_, options_, journal_, observer_, sink);
    }
    write_side_files(*model_, store_);
    measure(result_);
    store_.write_text("record.json", record_json(model_path_, options_, result_).dump(2) + "\n");
    store_.finish({{"model", model_path_.filename().string()},
                   {"weights", result_.weights},
                   {"stored_bytes", result_.stored_bytes},
                   {"bits_per_weight", result_.bits_per_weight()}});
    journal_.finish();
    return result_;
  }

 private:
  void rest() {
    auto known = journal_.find("rest");
    if (known)
      store_.take_part(known->at("part"));
    else
      journal_.put("rest", *(known = write_rest(*model_, options_.embedding_bits > 0, store_)));
    result_.embeddings = embeddings_of_record(*known, journal_.folder().string());
  }

  std::vector<Window> windows_for(const Network& network) {
    check_length(network.config(), options_.calibration);
    if (options_.calibration.files.empty()) return own_windows(network);
    check_texts();
    return calibration_windows(options_.calibration, *network.tokenizer, observer_);
  }

  // The calibration texts are those that the run before read.
  void check_texts() {
    std::vector<std::string> hashes;
    for (const auto& file : options_.calibration.files) hashes.push_back(hash_file(file));
    const auto known = journal_.find("texts");
    if (!known) return journal_.put("texts", hashes);
    for (std::size_t i = 0; i < hashes.size(); ++i)
      if (known->at(i) != hashes[i])
        fail_input(options_.calibration.files[i].string(),
                   "is not the text that the unfinished run in {} has read; --restart discards that run",
                   journal_.folder().string());
  }

  std::vector<Window> own_windows(const Network& network) {
    const auto item = [](std::size_t first) { return fmt::format("text-{:05}", first); };
    std::vector<Window> texts;
    while (const auto known = journal_.find(item(texts.size())))
      for (const auto& text : *known) texts.push_back(text);
    return write_windows(network, options_.calibration, compute_of(options_.arithmetic), observer_, std::move(texts),
                         [&](std::int64_t first, std::span<const Window> written) {
                           journal_.put(item(static_cast<std::size_t>(first)),
                                        std::vector(written.begin(), written.end()));
                         });
  }

  // A block that was just quantized.
  Json keep(std::int64_t block, const std::vector<FinishedLayer>& layers) {
    std::vector<std::pair<std::string, const QuantizedTensor*>> tensors;
    QuantizeResult here;
    for (const auto& layer : layers) {
      tensors.emplace_back(layer.record.name, layer.tensor.get());
      here.weights += layer.tensor->rows() * layer.tensor->cols();
      here.stored_bytes += layer.tensor->stored_bytes();
      here.layers.push_back(layer.record);
    }
    add(here);
    measure(here);
    return {{"part", store_.write_part(fmt::format("block-{:05}", block), tensors, {})},
            {"weights", here.weights},
            {"stored_bytes", here.stored_bytes},
            {"layers", layers_json(here.layers)},
            {"seconds", here.seconds},
            {"peak_memory", here.peak_memory}};
  }

  // A block that a run before has finished.
  std::vector<LayerRecord> take(const Json& outcome) {
    const auto where = journal_.folder().string();
    QuantizeResult here;
    here.weights = json_get<std::int64_t>(outcome, "weights", where);
    here.stored_bytes = json_get<std::int64_t>(outcome, "stored_bytes", where);
    here.layers = layers_of_record(outcome, where);
    seconds_before_ = json_get<double>(outcome, "seconds", where);
    peak_before_ = std::max(peak_before_, json_get<std::int64_t>(outcome, "peak_memory", where));
    store_.take_part(outcome.at("part"));
    add(here);
    return here.layers;
  }

  void add(const QuantizeResult& block) {
    result_.weights += block.weights;
    result_.stored_bytes += block.stored_bytes;
    for (const auto& layer : block.layers) {
      if (layer.predicted_kl >= 0) result_.predicted_kl = std::max(result_.predicted_kl, 0.0) + layer.predicted_kl;
      result_.layers.push_back(layer);
    }
  }

  void measure(QuantizeResult& result) const {
    result.seconds = seconds_before_ + watch_.seconds();
    result.peak_memory = std::max(peak_before_, peak_resident_bytes());
  }

  const std::filesystem::path& model_path_;
  std::shared_ptr<const Model> model_;
  const QuantizeOptions& options_;
  Journal& journal_;
  Observer& observer_;
  StoreWriter store_;
  QuantizeResult result_;
  Stopwatch watch_;
  double seconds_before_ = 0;  // of the runs before, to their last finished block
  std::int64_t peak_before_ = 0;
};

// Whoever stops a run, or a disk that fails it, leaves its work to go on with; what is wrong with the input would be
// again.
bool may_go_on(const Error& error, const Journal& journal) {
  return error.code() == ErrorCode::cancelled ||
         (error.code() == ErrorCode::io && error.where().starts_with(journal.output().string()));
}

[[noreturn]] void say_how_to_go_on(const Error& error, const Journal& journal) {
  std::string what = error.what();
  if (!error.where().empty()) what = what.substr(error.where().size() + 2);
  throw Error(error.code(),
              fmt::format("{}; what is finished is kept in {}: the same call goes on from there, --restart begins anew",
                          what, journal.folder().string()),
              error.where());
}

}  // namespace

QuantizeResult quantize(const std::filesystem::path& model_path, const std::filesystem::path& store_path,
                        const QuantizeOptions& options, Observer& observer) {
  check_options(options);
  set_thread_count(options.threads);
  if (Store::is_store(model_path))
    fail_input(model_path.string(), "is a store: its layers are quantized already; quantize the original model");
  const auto model = std::make_shared<const Model>(Model::open(model_path));
  check_groups(model->config(), options.grid);
  Journal journal(store_path, run_of(*model, options), options.restart);
  if (journal.complete()) {
    journal.finish();
    const auto record = store_path / "record.json";
    return result_of_record(read_json(record), record.string());
  }
  if (journal.resumed())
    observer.on_message(Severity::info, fmt::format("going on with the run in {}", journal.folder().string()));
  try {
    return Job(model_path, model, options, journal, observer).run();
  } catch (const Error& error) {
    if (may_go_on(error, journal)) say_how_to_go_on(error, journal);
    if (!journal.resumed()) journal.discard();
    throw;
  }
}

}  // namespace nearplane
