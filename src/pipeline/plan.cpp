#include "nearplane/plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/process.h"
#include "base/rng.h"
#include "base/threads.h"
#include "calib/self_written.h"
#include "pipeline/calibrated_pass.h"
#include "pipeline/look_ahead.h"
#include "pipeline/options.h"
#include "pipeline/stage_walk.h"

namespace nearplane {
namespace {

constexpr std::int64_t kWrittenTokens = 8;  // of each text, on trial

// Windows of random tokens: one chunk of the walk, or all there are if they are fewer.
std::vector<Window> random_windows(const ModelConfig& config, const CalibrationOptions& calibration) {
  const auto fit = std::max<std::int64_t>(1, StageWalk::kChunkTokens / calibration.length);
  Rng rng(calibration.seed);
  std::vector<Window> windows(static_cast<std::size_t>(std::min(calibration.samples, fit)));
  for (auto& window : windows)
    for (std::int64_t t = 0; t < calibration.length; ++t)
      window.push_back(static_cast<Token>(rng.below(static_cast<std::uint64_t>(config.vocab))));
  return windows;
}

// Seconds to write all calibration text, from the first few tokens of one batch.
double writing_seconds(const Network& network, const QuantizeOptions& options, Observer& observer) {
  const auto plan = writing_plan(network.config(), options.calibration);
  auto few = options.calibration;
  few.samples = plan.at_a_time, few.length = std::min(few.length, kWrittenTokens);
  const Stopwatch watch;
  write_windows(network, few, compute_of(options.arithmetic), observer);
  const auto steps = [](std::int64_t texts, std::int64_t length, std::int64_t at_a_time) {
    return static_cast<double>((texts + at_a_time - 1) / at_a_time * (length - 1));
  };
  return watch.seconds() * steps(plan.texts, plan.length, plan.at_a_time) /
         steps(few.samples, few.length, plan.at_a_time);
}

// Bytes of what is no layer of a block, as write_rest keeps it.
std::int64_t rest_bytes(const Model& model, bool codes) {
  std::int64_t bytes = 0;
  for (const auto& name : model.tensor_names()) {
    const auto& tensor = model.tensor(name);
    if (tensor.shape.size() != 2)
      bytes += 4 * tensor.elements();
    else if (!is_in_block(name))
      bytes += codes ? tensor.elements() + 2 * tensor.shape[0] : std::ssize(tensor.bytes);
  }
  return bytes;
}

// With bits that the model shares, a layer's are not those of the trial.
std::int64_t layer_bytes(const Plan& plan, const QuantizeOptions& options) {
  std::int64_t weights = 0, bytes = 0;
  for (const auto& layer : plan.layers) weights += layer.rows * layer.cols, bytes += layer.stored_bytes;
  const double shared = options.mix > 0 ? options.mix : options.slope ? options.grid.bits : 0;
  return plan.blocks * (shared > 0 ? static_cast<std::int64_t>(shared * static_cast<double>(weights) / 8) : bytes);
}

}  // namespace

Plan plan_quantization(const std::filesystem::path& model_path, const QuantizeOptions& options, Observer& observer) {
  check_options(options);
  set_thread_count(options.threads);
  const auto model = std::make_shared<const Model>(Model::open(model_path));
  const auto& config = model->config();
  check_groups(config, options.grid);
  check_length(config, options.calibration);
  if (!needs_calibration(options))
    fail_input("method", "rounding without calibration takes no time or memory worth a plan");

  Plan plan{.blocks = config.layers, .layers = {}};
  const auto& calibration = options.calibration;
  plan.tokens = calibration.samples * calibration.length;
  const auto network = open_network(model_path);  // as long as quantize() has it: a tokenizer takes its part of memory
  if (calibration.files.empty()) plan.text_seconds = writing_seconds(network, options, observer);
  const auto written_peak = calibration.files.empty()
                                ? peak_resident_bytes() + writing_plan(config, calibration).cache_bytes
                                : std::int64_t{0};
  trim_memory();

  const auto windows = random_windows(config, calibration);
  plan.trial_tokens = std::ssize(windows) * calibration.length;
  const auto trial = try_block(model, windows, options, observer);
  for (const auto& [tensor, record] : trial.layers)
    plan.layers.push_back(
        {record.name, record.rows, record.cols, record.bits_per_weight, tensor->stored_bytes(), record.seconds});

  const bool drift = options.drift.wanted();
  plan.peak_memory = std::max(written_peak, peak_resident_bytes() + (plan.tokens - plan.trial_tokens) *
                                                                        StageWalk::bytes_per_token(config, drift));
  plan.store_bytes = rest_bytes(*model, options.embedding_bits > 0) + layer_bytes(plan, options);
  plan.work_bytes = 2 * (drift ? 2 : 1) * 4 * plan.tokens * config.hidden;  // activations after two blocks
  const auto block_seconds = [&](std::int64_t tokens) {
    return trial.solve_seconds +
           (trial.seconds - trial.solve_seconds) * static_cast<double>(tokens) / static_cast<double>(plan.trial_tokens);
  };
  plan.block_seconds = block_seconds(plan.tokens);
  const bool looks_ahead = options.mix > 0 || options.slope;
  plan.seconds = plan.text_seconds +
                 static_cast<double>(config.layers) *
                     (plan.block_seconds + (looks_ahead ? block_seconds(std::min(kLookTokens, plan.tokens)) : 0));
  return plan;
}

}  // namespace nearplane
