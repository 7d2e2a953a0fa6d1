#include "calib/sensitivity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "base/rng.h"
#include "base/threads.h"
#include "expect_error.h"
#include "tiny_model.h"

namespace nearplane {
namespace {

Network open_tiny(const std::string& name) {
  Network network;
  network.weights = weights_of(std::make_shared<const Model>(Model::open(golden_path(name))));
  return network;
}

std::vector<Window> golden_windows(const std::string& name) {
  std::vector<Window> out;
  for (auto& text : golden_texts(name)) out.push_back(std::move(text.tokens));
  return out;
}

// What torch says of the same windows (tests/oracle/make_sensitivity_goldens.py).
class GoldenSensitivity {
 public:
  explicit GoldenSensitivity(const std::string& name)
      : file_(open_safetensors(golden_path("../sensitivity/" + name + ".safetensors"))) {
    for (const char* i : {"0", "1"}) {
      const auto& stored = file_.get(std::string("labels.") + i);
      auto& window = labels.emplace_back(static_cast<std::size_t>(stored.elements()));
      std::memcpy(window.data(), stored.bytes.data(), stored.bytes.size());
    }
  }
  std::vector<float> of(const std::string& layer) const {
    const auto& stored = file_.get(layer);
    std::vector<float> out(static_cast<std::size_t>(stored.elements()));
    decode_f32(stored.dtype, stored.bytes.data(), stored.elements(), out.data());
    return out;
  }

  std::vector<Window> labels;

 private:
  TensorFile file_;
};

struct Case {
  const char* model;   // folder or GGUF file
  const char* golden;  // folder with the texts
};

class Golden : public testing::TestWithParam<Case> {};

TEST_P(Golden, EveryRowEqualsAutograd) {
  Observer observer;
  const GoldenSensitivity golden(GetParam().golden);
  const auto network = open_tiny(GetParam().model);
  const auto f = output_sensitivity(network, golden_windows(GetParam().golden), golden.labels, Compute::f32, observer);
  EXPECT_EQ(std::ssize(f), 7 * network.config().layers);
  double worst = 0;
  for (const auto& [name, rows] : f) {
    const auto expected = golden.of(name);
    ASSERT_EQ(rows.size(), expected.size()) << name;
    for (std::size_t i = 0; i < rows.size(); ++i) worst = std::max(worst, std::abs(rows[i] / expected[i] - 1));
  }
  EXPECT_LT(worst, 2e-5);
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values(Case{"llama", "llama"}, Case{"llama3-rope", "llama3-rope"},
                                         Case{"llama3-freqs", "llama3-freqs"},
                                         Case{"llama-linear-rope", "llama-linear-rope"},
                                         Case{"llama-bias", "llama-bias"}, Case{"smollm-tied", "smollm-tied"},
                                         Case{"mistral-window", "mistral-window"}, Case{"qwen2", "qwen2"},
                                         Case{"qwen2-window", "qwen2-window"}, Case{"qwen3", "qwen3"},
                                         Case{"llama.gguf", "llama"}, Case{"qwen3.gguf", "qwen3"}),
                         [](const auto& tested) {
                           std::string name = tested.param.model;
                           std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
                           return name;
                         });

Sensitivity sampled(const Network& network, std::span<const Window> windows, std::uint64_t seed,
                    Compute compute = Compute::f32) {
  Observer observer;
  return output_sensitivity(network, windows, {seed, compute}, observer);
}

TEST(Sensitivity, SameBitsForAnyNumberOfThreadsAndTheSameSeed) {
  const auto network = open_tiny("qwen3");
  const auto windows = golden_windows("qwen3");
  for (const auto compute : {Compute::f32, Compute::bf16}) {
    set_thread_count(1);
    const auto one = sampled(network, windows, 5, compute);
    set_thread_count(3);
    EXPECT_EQ(one, sampled(network, windows, 5, compute));
    set_thread_count(0);
    EXPECT_NE(one, sampled(network, windows, 6, compute));
  }
}

// Mean over layers of |a / b - 1| of the layers' sums.
double distance(const Sensitivity& a, const Sensitivity& b) {
  double sum = 0;
  const auto total = [](const std::vector<double>& f) { return std::accumulate(f.begin(), f.end(), 0.0); };
  for (const auto& [name, f] : a) sum += std::abs(total(f) / total(b.at(name)) - 1) / static_cast<double>(a.size());
  return sum;
}

TEST(Sensitivity, Bf16IsClose) {
  const auto network = open_tiny("llama");
  const auto windows = golden_windows("llama");
  const auto labels = GoldenSensitivity("llama").labels;
  Observer observer;
  const auto exact = output_sensitivity(network, windows, labels, Compute::f32, observer);
  const auto rounded = output_sensitivity(network, windows, labels, Compute::bf16, observer);
  EXPECT_LT(distance(rounded, exact), 0.05);
  EXPECT_GT(distance(rounded, exact), 1e-5) << "bf16 was not used";
}

// Windows of more tokens than pass at a time: labels belong to their window, and means are over all tokens.
TEST(Sensitivity, AveragesOverChunks) {
  const auto network = open_tiny("llama3-freqs");
  std::vector<Window> windows, labels;
  for (int i = 0; i < 40; ++i)
    for (const auto& window : golden_windows("llama3-freqs")) windows.push_back(window);
  for (int i = 0; i < 40; ++i)
    for (const auto& window : GoldenSensitivity("llama3-freqs").labels) labels.push_back(window);
  Observer observer;
  const auto once =
      output_sensitivity(network, std::span(windows).first(2), std::span(labels).first(2), Compute::f32, observer);
  const auto often = output_sensitivity(network, windows, labels, Compute::f32, observer);
  for (const auto& [name, f] : once)
    for (std::size_t i = 0; i < f.size(); ++i) EXPECT_NEAR(often.at(name)[i] / f[i], 1, 1e-4) << name;
}

// Over many windows of the same token, the mean is the sum over all labels weighted by their probabilities.
TEST(Sensitivity, DrawnLabelsFollowThePrediction) {
  const auto network = open_tiny("llama");
  const Window window{17};
  const auto logits = TinyModel("llama").logits(window);
  double total = 0;
  for (const float v : logits.span()) total += std::exp(static_cast<double>(v));
  std::map<std::string, std::vector<double>> expected;
  Observer observer;
  for (Token label = 0; label < network.config().vocab; ++label) {
    const std::vector<Window> windows{window}, labels{{label}};
    const double p = std::exp(static_cast<double>(logits(0, label))) / total;
    for (const auto& [name, f] : output_sensitivity(network, windows, labels, Compute::f32, observer)) {
      expected[name].resize(f.size());
      for (std::size_t i = 0; i < f.size(); ++i) expected[name][i] += p * f[i];
    }
  }
  const std::vector<Window> windows(10000, window);
  for (const auto& [name, f] : sampled(network, windows, 1)) {
    if (name.ends_with("q_proj") || name.ends_with("k_proj")) continue;  // one token: its softmax is constant
    for (std::size_t i = 0; i < f.size(); ++i) EXPECT_NEAR(f[i] / expected[name][i], 1, 0.15) << name << " " << i;
  }
}

// A linear layer whose outputs have independent normal errors.
class NoisyLinear : public Linear {
 public:
  NoisyLinear(std::unique_ptr<Linear> exact, double size, std::uint64_t seed)
      : exact_(std::move(exact)), size_(size), rng_(seed) {}
  std::int64_t in_features() const override { return exact_->in_features(); }
  std::int64_t out_features() const override { return exact_->out_features(); }
  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    exact_->apply(x, y);
    for (std::int64_t t = 0; t < y.rows; ++t)
      for (std::int64_t i = 0; i < y.cols; ++i) y(t, i) += static_cast<float>(size_ * rng_.normal());
  }
  void add_transposed(MatrixView<const float>, MatrixView<float>) const override { FAIL(); }

 private:
  std::unique_ptr<Linear> exact_;
  double size_;
  mutable Rng rng_;
};

// Mean over tokens of KL(p || q), logits [T, vocab].
double mean_kl(const Matrix<float>& p, const Matrix<float>& q) {
  double kl = 0;
  for (std::int64_t t = 0; t < p.rows(); ++t) {
    double p_total = 0, q_total = 0, weighted = 0;
    for (std::int64_t i = 0; i < p.cols(); ++i) {
      const double weight = std::exp(static_cast<double>(p(t, i)));
      p_total += weight, q_total += std::exp(static_cast<double>(q(t, i)));
      weighted += weight * (static_cast<double>(p(t, i)) - q(t, i));
    }
    kl += (weighted / p_total - std::log(p_total) + std::log(q_total)) / static_cast<double>(p.rows());
  }
  return kl;
}

// What f is for: independent errors of variance e^2 at the outputs of a layer cost 1/2 e^2 sum f in KL.
TEST(Sensitivity, PredictsTheKlOfSmallErrors) {
  const auto network = open_tiny("llama");
  const Window tokens = golden_windows("llama")[0];
  const auto f = sampled(network, std::vector<Window>(300, tokens), 1);
  const auto exact = TinyModel("llama").logits(tokens);
  for (const auto kind : {LinearKind::q, LinearKind::v, LinearKind::gate, LinearKind::down}) {
    constexpr double kError = 0.02;
    TinyModel noisy("llama");
    auto& linear = noisy.blocks[0].linear[static_cast<std::size_t>(kind)];
    linear = std::make_unique<NoisyLinear>(std::move(linear), kError, 2);
    double kl = 0;
    for (int draw = 0; draw < 300; ++draw) kl += mean_kl(exact, noisy.logits(tokens)) / 300;
    const auto& rows = f.at(linear_name(0, kind));
    EXPECT_NEAR(0.5 * kError * kError * std::accumulate(rows.begin(), rows.end(), 0.0) / kl, 1, 0.05)
        << linear_name(0, kind);
  }
}

TEST(Sensitivity, RefusesWhatItCannotUse) {
  const auto network = open_tiny("llama");
  Observer observer;
  const std::vector<Window> windows{{3, 4, 5}}, none, empty{{}}, outside{{3, 128}};
  expect_error(ErrorCode::bad_input, {"no token"}, [&] { sampled(network, none, 0); });
  expect_error(ErrorCode::bad_input, {"no token"}, [&] { sampled(network, empty, 0); });
  expect_error(ErrorCode::bad_input, {"id 128"}, [&] { sampled(network, outside, 0); });
  const auto with_labels = [&](const std::vector<Window>& labels) {
    output_sensitivity(network, windows, labels, Compute::f32, observer);
  };
  expect_error(ErrorCode::bad_input, {"labels", "2 windows", "1"}, [&] { with_labels({{1}, {2}}); });
  expect_error(ErrorCode::bad_input, {"labels", "window 0", "2", "3"}, [&] { with_labels({{1, 2}}); });
  expect_error(ErrorCode::bad_input, {"labels", "id -1", "128"}, [&] { with_labels({{1, 2, -1}}); });
}

// The weights of a model with one vector scaled.
class ScaledVector : public WeightSource {
 public:
  ScaledVector(std::unique_ptr<WeightSource> source, std::string name, float factor)
      : source_(std::move(source)), name_(std::move(name)), factor_(factor) {}
  const ModelConfig& config() const override { return source_->config(); }
  std::shared_ptr<const WeightRows> rows(const std::string& name) const override { return source_->rows(name); }
  std::vector<float> vector(const std::string& name) const override {
    auto out = source_->vector(name);
    if (name == name_) out[4] *= factor_;
    return out;
  }

 private:
  std::unique_ptr<WeightSource> source_;
  std::string name_;
  float factor_;
};

TEST(Sensitivity, NamesWhereActivationsStopBeingFinite) {
  auto network = open_tiny("llama");
  network.weights = std::make_unique<ScaledVector>(std::move(network.weights),
                                                   "model.layers.1.post_attention_layernorm.weight", std::nanf(""));
  expect_error(ErrorCode::numerical, {"model.layers.1", "column 0", "nan", "token 0"},
               [&] { sampled(network, golden_windows("llama"), 0); });
  network = open_tiny("llama");
  network.weights = std::make_unique<ScaledVector>(std::move(network.weights), "model.norm.weight", std::nanf(""));
  expect_error(ErrorCode::numerical, {"output head", "logits", "token 0"},
               [&] { sampled(network, golden_windows("llama"), 0); });
}

// Logits near the end of f32 and labels the model does not expect: the gradients leave f32 on their way down.
TEST(Sensitivity, NamesWhereGradientsStopBeingFinite) {
  auto network = open_tiny("llama");
  network.weights = std::make_unique<ScaledVector>(std::move(network.weights), "model.norm.weight", 1e38f);
  Observer observer;
  expect_error(ErrorCode::numerical, {"model.layers.", "gradient at output", "token"}, [&] {
    output_sensitivity(network, golden_windows("llama"), GoldenSensitivity("llama").labels, Compute::f32, observer);
  });
}

class Impatient : public Observer {
 public:
  void on_progress(const Progress& progress) override { seen = progress; }
  bool cancelled() const override { return seen.done == 3; }
  Progress seen;
};

TEST(Sensitivity, ReportsAndStops) {
  Impatient observer;
  const auto network = open_tiny("llama");
  expect_error(ErrorCode::cancelled, {"sensitivity"},
               [&] { output_sensitivity(network, golden_windows("llama"), SensitivityOptions{}, observer); });
  EXPECT_EQ(observer.seen.total, 4);
  EXPECT_EQ(observer.seen.item, "backward through block 1");
}

}  // namespace
}  // namespace nearplane
