#include "model/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "expect_error.h"
#include "temporary_folder.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

fs::path golden(const std::string& name) { return fs::path(NEARPLANE_SOURCE_DIR) / "tests/golden/models" / name; }

// A golden model in memory, to be damaged and written again.
struct Editable {
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
  };
  Json config;
  std::vector<Tensor> tensors;

  explicit Editable(const std::string& name) : config(read_json(golden(name) / "config.json")) {
    const auto file = open_safetensors(golden(name));
    for (const auto& t : file.tensors())
      tensors.push_back({t.name, t.dtype, t.shape, {t.bytes.begin(), t.bytes.end()}});
  }
  Tensor& at(const std::string& name) { return *std::ranges::find(tensors, name, &Tensor::name); }
  void set(const std::string& name, std::size_t element, float value) {
    std::memcpy(at(name).bytes.data() + 4 * element, &value, 4);
  }
  const fs::path& write(const TemporaryFolder& folder) const {
    folder.write("config.json", config.dump());
    std::vector<TensorToWrite> out;
    for (const auto& t : tensors) out.push_back({t.name, t.dtype, t.shape, t.bytes});
    write_safetensors(folder.path() / "model.safetensors", out, {});
    return folder.path();
  }
};

void expect_refused(ErrorCode code, std::initializer_list<std::string> parts, const Editable& model) {
  TemporaryFolder folder;
  expect_error(code, parts, [&] { Model::open(model.write(folder)); });
}

TEST(Model, OpensAFolder) {
  const auto model = Model::open(golden("qwen3"));
  EXPECT_EQ(model.config().family, "qwen3");
  EXPECT_EQ(model.hf_config()["model_type"], "qwen3");
  EXPECT_TRUE(model.gguf_metadata().is_null());
  EXPECT_EQ(model.tensor_names().front(), "model.embed_tokens.weight");
  EXPECT_EQ(model.tensor_names().back(), "model.norm.weight") << "the head is tied";
  EXPECT_EQ(model.tensor_names().size(), 2u + 2 * (7 + 2 + 2));
  EXPECT_TRUE(model.side_files().empty());
}

TEST(Model, ListsSideFiles) {
  TemporaryFolder folder;
  folder.write("tokenizer.json", "{}");
  folder.write("README.md", "");
  const auto model = Model::open(Editable("llama").write(folder));
  ASSERT_EQ(model.side_files().size(), 1u);
  EXPECT_EQ(model.side_files()[0].filename(), "tokenizer.json");
}

TEST(Model, ShardsHoldOneModel) {
  const auto model = Model::open(golden("llama3-rope"));
  EXPECT_EQ(model.decode_matrix("lm_head.weight").rows(), 128);
  EXPECT_NE(model.tensor("lm_head.weight").file, model.tensor("model.embed_tokens.weight").file);
}

TEST(Model, DecodesRowsOfEveryType) {
  for (const auto* name : {"llama", "smollm-tied", "mistral-window"}) {
    const auto model = Model::open(golden(name));
    const auto all = model.decode_matrix("model.layers.1.mlp.up_proj.weight");
    const auto& stored = model.tensor("model.layers.1.mlp.up_proj.weight");
    std::vector<float> expected(static_cast<std::size_t>(all.size())), two(static_cast<std::size_t>(2 * all.cols()));
    decode_f32(stored.dtype, stored.bytes.data(), all.size(), expected.data());
    EXPECT_TRUE(std::ranges::equal(all.span(), expected));
    model.decode_rows("model.layers.1.mlp.up_proj.weight", 5, 2, two.data());
    EXPECT_TRUE(std::equal(two.begin(), two.end(), all.row(5)));
    model.release("model.layers.1.mlp.up_proj.weight");
    EXPECT_TRUE(std::ranges::equal(model.decode_matrix("model.layers.1.mlp.up_proj.weight").span(), expected));
  }
}

// The same numbers under the same names, whether they come from the folder or its GGUF twin.
void expect_twins(const std::string& gguf, const std::string& folder) {
  const auto a = Model::open(golden(gguf)), b = Model::open(golden(folder));
  ASSERT_EQ(a.tensor_names(), b.tensor_names());
  for (const auto& name : a.tensor_names()) {
    SCOPED_TRACE(name);
    ASSERT_EQ(a.tensor(name).shape, b.tensor(name).shape);
    if (a.tensor(name).shape.size() == 2)
      EXPECT_TRUE(std::ranges::equal(a.decode_matrix(name).span(), b.decode_matrix(name).span()));
    else
      EXPECT_EQ(a.decode_vector(name), b.decode_vector(name));
  }
  const auto &x = a.config(), &y = b.config();
  EXPECT_EQ(x.family, y.family);
  EXPECT_EQ(x.head_dim, y.head_dim);
  EXPECT_EQ(x.rms_eps, y.rms_eps);
  EXPECT_EQ(x.rope_theta, y.rope_theta);
  EXPECT_EQ(x.rope_scaling.kind, y.rope_scaling.kind);
  EXPECT_EQ(x.rope_scaling.factor, y.rope_scaling.factor);
  EXPECT_EQ(x.rope_scaling.original_max_position, y.rope_scaling.original_max_position);
  EXPECT_EQ(x.tied_head, y.tied_head);
  EXPECT_EQ(x.max_position, y.max_position);
  EXPECT_EQ(x.eos_tokens, y.eos_tokens);
  EXPECT_EQ(x.bos_token, y.bos_token);
}

TEST(Model, GgufEqualsItsTwin) {
  expect_twins("llama.gguf", "llama");
  expect_twins("llama-bias.gguf", "llama-bias");
  expect_twins("llama3-freqs.gguf", "llama3-freqs");
  expect_twins("qwen2.gguf", "qwen2");
  expect_twins("qwen3.gguf", "qwen3");
}

TEST(Model, GgufRowsOfQAndKMayBeDecodedInParts) {
  const auto model = Model::open(golden("llama.gguf"));
  const auto name = linear_name(1, LinearKind::k) + ".weight";
  const auto all = model.decode_matrix(name);
  std::vector<float> part(static_cast<std::size_t>(3 * all.cols()));
  model.decode_rows(name, 6, 3, part.data());
  EXPECT_TRUE(std::equal(part.begin(), part.end(), all.row(6)));
}

TEST(Model, GgufConfigIsThatOfHuggingFace) {
  const auto config = Model::open(golden("qwen2.gguf")).hf_config();
  EXPECT_EQ(config["architectures"], Json::array({"Qwen2ForCausalLM"}));
  EXPECT_EQ(config["rms_norm_eps"], 1e-5) << "not the f32 beside it";
  EXPECT_EQ(config["torch_dtype"], "float32");
  EXPECT_EQ(config["eos_token_id"], 2);
  EXPECT_EQ(config["tie_word_embeddings"], false);
}

TEST(Model, MissingTensorIsNamed) {
  Editable model("llama");
  std::erase_if(model.tensors, [](const auto& t) { return t.name == "model.layers.1.mlp.up_proj.weight"; });
  expect_refused(ErrorCode::bad_input, {"model.layers.1.mlp.up_proj.weight", "missing"}, model);
}

TEST(Model, WrongShapeIsNamedWithBothShapes) {
  Editable model("llama");
  model.at("model.layers.0.self_attn.k_proj.weight").shape = {32, 16};
  expect_refused(ErrorCode::bad_input, {"model.layers.0.self_attn.k_proj.weight", "[32,16]", "[16,32]"}, model);
  Editable grown("llama");
  grown.config["vocab_size"] = 129;
  expect_refused(ErrorCode::bad_input, {"model.embed_tokens.weight", "[128,32]", "[129,32]"}, grown);
}

TEST(Model, IntegerWeightsAreRefused) {
  Editable model("llama");
  model.at("model.norm.weight").dtype = DType::i32;
  expect_refused(ErrorCode::bad_input, {"model.norm.weight", "I32"}, model);
}

TEST(Model, TensorsTheConfigDoesNotKnowAreRefused) {
  Editable model("llama-bias");
  model.config["attention_bias"] = false;
  expect_refused(ErrorCode::unsupported, {"self_attn", "bias", "llama"}, model);
}

TEST(Model, HarmlessExtraTensorsAreAccepted) {
  Editable model("smollm-tied");
  auto copy = model.at("model.embed_tokens.weight");
  copy.name = "lm_head.weight";
  model.tensors.push_back(copy);
  auto frequencies = model.at("model.norm.weight");
  frequencies.name = "model.layers.0.self_attn.rotary_emb.inv_freq";
  model.tensors.push_back(frequencies);
  TemporaryFolder folder;
  EXPECT_EQ(Model::open(model.write(folder)).tensor_names().back(), "model.norm.weight");
}

TEST(Model, NotFiniteWeightsAreNamed) {
  Editable model("llama");
  model.set("model.layers.0.mlp.gate_proj.weight", 37 * 32 + 5, std::nanf(""));
  model.set("model.layers.1.mlp.down_proj.weight", 3 * 64 + 60, -INFINITY);
  model.set("model.norm.weight", 31, INFINITY);
  TemporaryFolder folder;
  const auto opened = Model::open(model.write(folder));
  expect_error(ErrorCode::bad_input, {"model.layers.0.mlp.gate_proj.weight", "row 37", "column 5", "nan"},
               [&] { opened.decode_matrix("model.layers.0.mlp.gate_proj.weight"); });
  expect_error(ErrorCode::bad_input, {"model.layers.1.mlp.down_proj.weight", "row 3", "column 60", "-inf"},
               [&] { opened.decode_matrix("model.layers.1.mlp.down_proj.weight"); });
  expect_error(ErrorCode::bad_input, {"model.norm.weight", "31", "inf"},
               [&] { opened.decode_vector("model.norm.weight"); });
}

TEST(Model, UnknownArchitectureIsNamed) {
  Editable model("llama");
  model.config["model_type"] = "gemma", model.config["architectures"] = {"GemmaForCausalLM"};
  expect_refused(ErrorCode::unsupported, {"config.json", "GemmaForCausalLM"}, model);
}

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Model, UnknownGgufArchitectureIsNamed) {
  TemporaryFolder folder;
  auto text = bytes_of(golden("qwen2.gguf"));
  text.replace(text.find("qwen2"), 5, "phi99");  // the value of general.architecture, the same length
  const auto path = folder.write("model.gguf", text);
  expect_error(ErrorCode::unsupported, {"model.gguf", "phi99"}, [&] { Model::open(path); });
}

TEST(Model, GgufFrequenciesThatAreNotLlama3AreRefused) {
  TemporaryFolder folder;
  const auto file = open_gguf(golden("llama3-freqs.gguf"));
  const auto factors = file.get("rope_freqs.weight").bytes;
  auto text = bytes_of(golden("llama3-freqs.gguf"));
  const auto at = text.find(std::string(reinterpret_cast<const char*>(factors.data()), factors.size()));
  const float odd = 3.5f;
  std::memcpy(text.data() + at + 4 * 20, &odd, 4);
  const auto path = folder.write("model.gguf", text);
  expect_error(ErrorCode::unsupported, {"rope_freqs.weight", "factor 20", "3.5"}, [&] { Model::open(path); });
}

TEST(Model, PathsThatAreNoModel) {
  TemporaryFolder folder;
  expect_error(ErrorCode::bad_input, {"config.json"}, [&] { Model::open(folder.path()); });
  expect_error(ErrorCode::bad_input, {"does not exist"}, [&] { Model::open(folder.path() / "nothing"); });
  const auto text = folder.write("model.txt", "hello");
  expect_error(ErrorCode::bad_input, {"model.txt", ".gguf"}, [&] { Model::open(text); });
  expect_error(ErrorCode::bad_input, {"no tensor 'lm_head'"}, [] { Model::open(golden("llama")).tensor("lm_head"); });
}

}  // namespace
}  // namespace nearplane
