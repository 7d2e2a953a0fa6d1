#include "exporter/export.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "base/atomic_file.h"
#include "base/threads.h"
#include "expect_error.h"
#include "exporter/gguf_blocks.h"
#include "model/tensors.h"
#include "random_coded.h"
#include "rounded_store.h"
#include "temporary_folder.h"
#include "text_model.h"

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

// The store of a golden model with a tokenizer.
class GgufExportTest : public ExportTest {
 protected:
  void make_text_store(const std::string& model, int bits, std::int64_t group, bool symmetric, bool tables = false) {
    make_store(model, bits, group, symmetric, tables);
    write_file(store / "tokenizer.json", ascii_tokenizer().dump());
    write_file(store / "tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>", "chat_template": "x"})");
  }
  fs::path file = folder.path() / "out.gguf";
};

TEST_F(GgufExportTest, IsTheSameModelForEveryFamily) {
  for (const std::string name : {"llama", "llama-bias", "qwen2", "qwen3", "llama-linear-rope"})
    for (const int bits : {3, 8}) {
      make_text_store(name, bits, 0, bits == 8, bits == 8 && name == "llama");
      const auto result = export_store(store, ExportFormat::gguf, file, observer);
      const auto gguf = Model::open(file);
      EXPECT_EQ(result.tensors, std::ssize(open_gguf(file).tensors()));
      EXPECT_EQ(gguf.tensor("model.layers.0.mlp.up_proj.weight").dtype, bits == 8 ? DType::q8_0 : DType::q4_0) << name;
      if (name == "llama") {
        EXPECT_EQ(gguf.tensor("lm_head.weight").dtype, bits == 8 ? DType::q8_0 : DType::f32);
      }
      const auto here = parse_hf_config(read_json(store / "config.json"), name);
      EXPECT_EQ(gguf.config().family, here.family);
      EXPECT_EQ(gguf.config().rope_theta, here.rope_theta);
      EXPECT_EQ(gguf.config().rms_eps, here.rms_eps);
      EXPECT_EQ(gguf.config().rope_scaling.factor, here.rope_scaling.factor);
      EXPECT_EQ(gguf.config().tied_head, here.tied_head);
      EXPECT_EQ(gguf.config().eos_tokens, std::vector<std::int64_t>{2});
      EXPECT_EQ(gguf.gguf_metadata()["tokenizer.chat_template"], "x");
      EXPECT_EQ(gguf.gguf_metadata()["tokenizer.ggml.tokens"].size(), 128u);
      EXPECT_EQ(observer.done, observer.total);
      fs::remove_all(store);
      fs::remove(file);
    }
}

TEST_F(GgufExportTest, SaysLlama3ScalingByItsFactors) {
  make_text_store("llama", 4, 0, true);
  auto config = read_json(store / "config.json");
  config.erase("rope_parameters");
  config["rope_theta"] = 500000;
  config["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", 8},
                            {"low_freq_factor", 1},
                            {"high_freq_factor", 4},
                            {"original_max_position_embeddings", 8192}};
  write_file(store / "config.json", config.dump());
  export_store(store, ExportFormat::gguf, file, observer);
  const auto read = Model::open(file).config();
  EXPECT_EQ(read.rope_scaling.kind, RopeScaling::Kind::llama3);
  EXPECT_EQ(read.rope_scaling.factor, 8);
  EXPECT_EQ(read.rope_theta, 500000);
}

TEST_F(GgufExportTest, PermutesQueriesAndKeysOfLlama) {
  make_text_store("llama", 4, 0, true);
  export_store(store, ExportFormat::gguf, file, observer);
  const auto layer = Store::open(store).quantized("model.layers.0.self_attn.q_proj");
  const auto config = parse_hf_config(read_json(store / "config.json"), "c");
  std::vector<std::byte> row(18);
  const auto gguf = open_gguf(file);
  const auto bytes = gguf.get("blk.0.attn_q.weight").bytes;
  for (std::int64_t h = 0; h < config.heads; ++h)
    for (std::int64_t s : {0, 1})
      for (std::int64_t j = 0; j < config.head_dim / 2; ++j) {
        write_gguf_row(*layer.integer(), h * config.head_dim + s * config.head_dim / 2 + j, DType::q4_0, row.data());
        const auto at = static_cast<std::size_t>((h * config.head_dim + 2 * j + s) * 18);
        EXPECT_TRUE(std::ranges::equal(bytes.subspan(at, 18), row)) << h << " " << s << " " << j;
      }
}

TEST_F(GgufExportTest, RefusesWithAReason) {
  const auto refused = [&](ErrorCode code, const fs::path& path, std::initializer_list<std::string> parts) {
    expect_error(code, parts, [&] { export_store(store, ExportFormat::gguf, path, observer); });
    only_the_store();
    fs::remove_all(store);
  };
  make_text_store("llama", 4, 16, true);
  refused(ErrorCode::unsupported, file, {"layer model.layers.0.self_attn.q_proj", "groups of 16"});
  make_text_store("llama", 4, 0, false);
  refused(ErrorCode::unsupported, file, {"layer model.layers.", "Q4_1 would have to round", "--symmetric"});
  make_text_store("llama", 4, 0, true);
  refused(ErrorCode::bad_input, out, {"has to end in .gguf"});
  make_text_store("mistral-window", 4, 0, true);
  refused(ErrorCode::unsupported, file, {"sliding window"});
  make_text_store("llama3-rope", 4, 0, true);
  refused(ErrorCode::unsupported, file, {"llama3 rope scaling", "1, 4, 8192"});
  make_store("llama", 4, 0, true);
  refused(ErrorCode::unsupported, file, {"has no tokenizer.json"});
}

TEST_F(ExportTest, CarriesMixedBits) {
  make_store("llama-bias", 4, 16, true);
  const auto mixed = folder.path() / "mixed";
  {
    const auto from = Store::open(store);
    fs::create_directory(mixed);
    StoreWriter to(mixed);
    for (const auto& name : from.quantized_names()) {
      const auto w = from.quantized(name).decode();
      const bool fine = name.ends_with("down_proj");
      const QuantizedTensor layer = rounded(w, fine ? 8 : 3, fine ? 32 : 16, fine);
      to.write_part(name, {{name, &layer}}, {});
    }
    std::vector<KeptTensor> kept;
    for (const auto& name : from.kept_names())
      kept.push_back({name, from.kept(name).dtype, from.kept(name).shape, from.kept(name).bytes});
    to.write_part("rest", {}, kept);
    to.write_text("config.json", read_file(store / "config.json"));
    to.finish(Json::object());
  }
  for (const auto format : {kGptq, ExportFormat::gptq_v2, kCompressed}) {
    export_store(mixed, format, out, observer);
    const auto config = read_json(out / "config.json")["quantization_config"];
    EXPECT_EQ(config.contains("dynamic") ? config["dynamic"].size() : config["config_groups"].size(), 2u);
    fs::remove_all(out);
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
