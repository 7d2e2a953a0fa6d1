#include "exporter/export.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "base/atomic_file.h"
#include "base/threads.h"
#include "expect_error.h"
#include "model/tensors.h"
#include "random_coded.h"
#include "rounded_store.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

constexpr auto kGptq = ExportFormat::gptq;
constexpr auto kCompressed = ExportFormat::compressed_tensors;

class ExportTest : public testing::Test {
 protected:
  void make_store(const std::string& model, int bits, std::int64_t group, bool symmetric, bool tables = false) const {
    write_rounded_store(fs::path(NEARPLANE_SOURCE_DIR) / "tests/golden/models" / model, store, bits, group, symmetric,
                        tables);
  }
  void refused(ExportFormat format, ErrorCode code, std::initializer_list<std::string> parts) {
    expect_error(code, parts, [&] { export_store(store, format, out, observer); });
    only_the_store();
  }
  void only_the_store() const {
    for (const auto& entry : fs::directory_iterator(folder.path())) EXPECT_EQ(entry.path(), store);
  }

  struct Log : Observer {
    std::string last;
    std::int64_t done = 0, total = 0, stop_at = -1;
    std::vector<std::string> messages;
    void on_progress(const Progress& p) override { last = p.stage, done = p.done, total = p.total, --stop_at; }
    void on_message(Severity, std::string_view text) override { messages.emplace_back(text); }
    bool cancelled() const override { return stop_at == 0; }
  } observer;
  TemporaryFolder folder;
  fs::path store = folder.path() / "store", out = folder.path() / "out";
};

TEST_F(ExportTest, WritesAFolderForTransformers) {
  make_store("smollm-tied", 3, 16, false);
  write_file(store / "tokenizer.json", "{\"t\": 1}");
  write_file(store / "chat_template.jinja", "hello");
  const auto result = export_store(store, kCompressed, out, observer);
  const auto file = open_safetensors(out);
  EXPECT_EQ(result.tensors, std::ssize(file.tensors()));
  std::int64_t bytes = 0;
  for (const auto& tensor : file.tensors()) bytes += std::ssize(tensor.bytes);
  EXPECT_EQ(result.bytes, bytes);
  EXPECT_EQ(file.find("lm_head.weight"), nullptr);  // tied
  EXPECT_EQ(file.find("model.layers.0.mlp.up_proj.weight"), nullptr);
  EXPECT_NE(file.find("model.layers.0.mlp.up_proj.weight_packed"), nullptr);
  EXPECT_EQ(file.get("model.embed_tokens.weight").dtype, DType::bf16);
  EXPECT_EQ(file.metadata()["format"], "pt");
  const auto config = read_json(out / "config.json");
  EXPECT_EQ(config["dtype"], "float16");
  EXPECT_EQ(config["torch_dtype"], "float16");
  EXPECT_EQ(config["model_type"], "llama");
  EXPECT_EQ(config["quantization_config"]["quant_method"], "compressed-tensors");
  EXPECT_EQ(read_file(out / "tokenizer.json"), "{\"t\": 1}");
  EXPECT_EQ(read_file(out / "chat_template.jinja"), "hello");
  EXPECT_FALSE(fs::exists(out / "record.json"));
  EXPECT_EQ(observer.last, "read back");
  EXPECT_EQ(observer.done, observer.total);
  EXPECT_TRUE(observer.messages.empty());  // every kept number of this model is a float16 number
}

TEST_F(ExportTest, WritesGptqWithBothConfigs) {
  make_store("llama-bias", 4, 16, false);
  export_store(store, kGptq, out, observer);
  EXPECT_EQ(read_json(out / "quantize_config.json"), read_json(out / "config.json")["quantization_config"]);
  const auto file = open_safetensors(out);
  EXPECT_NE(file.find("model.layers.1.self_attn.o_proj.qweight"), nullptr);
  EXPECT_NE(file.find("model.layers.1.self_attn.o_proj.bias"), nullptr);
  EXPECT_NE(file.find("lm_head.weight"), nullptr);
  ASSERT_EQ(observer.messages.size(), 1u);
  EXPECT_NE(observer.messages[0].find("float16 round them"), std::string::npos);
}

TEST_F(ExportTest, EmbeddingAndHeadInCodesAreWrittenDecoded) {
  make_store("llama-bias", 4, 16, false, true);
  for (const auto format : {kGptq, kCompressed}) {
    const auto folder_of = folder.path() / (format == kGptq ? "gptq" : "compressed");
    export_store(store, format, folder_of, observer);
    const auto file = open_safetensors(folder_of);
    for (const std::string name : {"model.embed_tokens", "lm_head"}) {
      const auto& exported = file.get(name + ".weight");
      EXPECT_EQ(exported.dtype, DType::f32);
      const auto decoded = Store::open(store).quantized(name).decode();
      EXPECT_TRUE(std::ranges::equal(exported.bytes, std::as_bytes(decoded.span()))) << name;
      for (const auto* part : {".weight_packed", ".qweight"}) EXPECT_EQ(file.find(name + part), nullptr);
    }
    EXPECT_NE(observer.messages.back().find("float16 round them"), std::string::npos);
    EXPECT_EQ(observer.done, observer.total);
  }
}

TEST_F(ExportTest, RefusesAHeadInCodesThatTheConfigTies) {
  make_store("llama", 4, 16, true, true);
  auto config = read_json(store / "config.json");
  config["tie_word_embeddings"] = true;
  write_file(store / "config.json", config.dump());
  refused(kCompressed, ErrorCode::unsupported, {"lm_head", "is not part of a model"});
}

TEST_F(ExportTest, OneScalePerRowAcrossLayersOfDifferentWidth) {
  make_store("llama-bias", 8, 0, true);
  export_store(store, kGptq, out, observer);
  EXPECT_EQ(read_json(out / "quantize_config.json")["group_size"], -1);
}

TEST_F(ExportTest, SplitsLargeModelsIntoShards) {
  make_store("llama", 4, 16, true);
  export_store(store, kCompressed, out, 20000, observer);
  export_store(store, kCompressed, folder.path() / "whole", observer);
  const auto index = read_json(out / "model.safetensors.index.json");
  EXPECT_FALSE(fs::exists(out / "model.safetensors"));
  EXPECT_TRUE(fs::exists(out / "model-00001-of-00003.safetensors"));
  const auto shards = open_safetensors(out), whole = open_safetensors(folder.path() / "whole");
  EXPECT_EQ(index["weight_map"].size(), whole.tensors().size());
  std::int64_t bytes = 0;
  for (const auto& tensor : whole.tensors()) {
    bytes += std::ssize(tensor.bytes);
    EXPECT_TRUE(std::ranges::equal(tensor.bytes, shards.get(tensor.name).bytes)) << tensor.name;
  }
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
}

TEST_F(ExportTest, IsTheSameBytesForAnyNumberOfThreads) {
  make_store("qwen3", 3, 16, false);
  export_store(store, kCompressed, out, observer);
  set_thread_count(3);
  export_store(store, kCompressed, folder.path() / "again", observer);
  set_thread_count(0);
  for (const auto* name : {"model.safetensors", "config.json"})
    EXPECT_EQ(read_file(out / name), read_file(folder.path() / "again" / name));
}

TEST_F(ExportTest, RefusesWhatGptqCannotHold) {
  make_store("llama-bias", 5, 16, true);
  refused(kGptq, ErrorCode::unsupported, {"model.layers.0.self_attn.q_proj", "5"});
  fs::remove_all(store);
  make_store("llama", 4, 16, true);
  refused(kGptq, ErrorCode::unsupported, {"model.layers.0.self_attn.k_proj", "32 outputs", "16"});
  fs::remove_all(store);
  make_store("llama-bias", 4, 24, true);
  refused(kGptq, ErrorCode::unsupported, {"q_proj", "groups of 24 do not divide its 32 inputs"});
  refused(kCompressed, ErrorCode::unsupported, {"q_proj", "groups of 24"});
}

TEST_F(ExportTest, RefusesEntropyCodedLayersByName) {
  const QuantizedTensor coded = random_coded(16, 32, 4, true, 1);
  fs::create_directory(store);
  StoreWriter writer(store);
  writer.write_part("p", {{"model.layers.0.self_attn.q_proj", &coded}}, {});
  writer.write_text("config.json", "{}");
  writer.finish(Json::object());
  for (const auto format : {kGptq, kCompressed})
    refused(format, ErrorCode::unsupported, {"layer model.layers.0.self_attn.q_proj", "entropy-coded"});
}

TEST_F(ExportTest, RefusesAnExistingFolder) {
  make_store("llama", 4, 16, true);
  fs::create_directory(out);
  expect_error(ErrorCode::bad_input, {"out", "exists already"},
               [&] { export_store(store, kCompressed, out, observer); });
  EXPECT_TRUE(fs::is_empty(out));
}

TEST_F(ExportTest, RefusesADamagedStore) {
  make_store("llama", 4, 16, true);
  for (const auto* part : {"model.layers.1.mlp.down_proj", "rest"}) {
    const auto path = store / (std::string(part) + ".safetensors");
    const auto good = read_file(path);
    auto bad = good;
    bad.back() = static_cast<char>(bad.back() ^ 1);
    write_file(path, bad);
    refused(kCompressed, ErrorCode::bad_input, {part, "checksum"});
    write_file(path, good);
  }
}

TEST_F(ExportTest, RefusesAStoreThatIsNotTheModelOfItsConfig) {
  make_store("llama", 4, 16, true);
  const auto config = read_json(store / "config.json");
  const auto with = [&](const char* key, const Json& value) {
    auto other = config;
    other[key] = value;
    write_file(store / "config.json", other.dump());
  };
  with("num_hidden_layers", 3);
  refused(kCompressed, ErrorCode::bad_input, {"model.layers.2.input_layernorm.weight", "missing"});
  with("num_hidden_layers", 1);
  refused(kCompressed, ErrorCode::unsupported, {"model.layers.1", "is not part of a model"});
  with("intermediate_size", 128);
  refused(kCompressed, ErrorCode::bad_input, {"gate_proj", "[64,32]", "[128,32]"});
  with("vocab_size", 100);
  refused(kCompressed, ErrorCode::bad_input, {"embed_tokens", "[128,32]", "[100,32]"});
}

TEST_F(ExportTest, LeavesNothingWhenTheDiskIsFull) {
  make_store("llama", 4, 16, true);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limit{20000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  refused(kCompressed, ErrorCode::io, {"model.safetensors", "cannot write"});
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
}

TEST_F(ExportTest, LeavesNothingWhenCancelled) {
  make_store("llama", 4, 16, true);
  for (const std::int64_t at : {5, 30}) {  // while writing, while reading back
    observer.stop_at = at;
    refused(kCompressed, ErrorCode::cancelled, {"export stopped"});
  }
}

}  // namespace
}  // namespace nearplane
