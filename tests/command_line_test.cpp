// The program as users run it: exit codes, one clear message on stderr, machine-readable output on stdout, Ctrl-C.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "base/json.h"
#include "child_program.h"
#include "text_model.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

class CommandLine : public ::testing::Test {
 protected:
  TemporaryFolder folder;
  fs::path model = text_model(folder, "llama");
  fs::path text = folder.write("text.txt", random_text(3000, 1));
  fs::path store = folder.path() / "store";
  fs::path input = "/dev/null";  // what the program reads

  ChildProgram start(const std::vector<std::string>& arguments) const {
    return {NEARPLANE_PROGRAM, arguments, folder.path(), input};
  }
  Finished run(const std::vector<std::string>& arguments) const { return start(arguments).finish(); }

  std::vector<std::string> quantize(std::vector<std::string> more = {}) const {
    std::vector<std::string> all{"quantize", model, "-o",        store, "--group",  "32",
                                 "--calib",  text,  "--samples", "8",   "--length", "64"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

TEST_F(CommandLine, QuantizesMeasuresRunsInspectsAndExports) {
  const auto quantized = run(quantize({"--bits", "4"}));
  ASSERT_EQ(quantized.code, 0) << quantized.err;
  EXPECT_NE(quantized.out.find("14 layers"), std::string::npos) << quantized.out;
  EXPECT_NE(quantized.out.find("bits per weight"), std::string::npos);
  EXPECT_NE(read_file(store.string() + ".log").find("quantize 14/14"), std::string::npos);
  const auto record = read_json(store / "record.json");
  EXPECT_EQ(record["layers"].size(), 14u);

  const auto measured = run({"eval", store, "--text", text, "--reference", model, "--length", "64", "--json"});
  ASSERT_EQ(measured.code, 0) << measured.err;
  const auto json = parse_json(measured.out, "output");
  for (const char* key : {"perplexity", "kl", "kl_p99", "top1", "tokens", "bits_per_weight", "seconds"})
    EXPECT_TRUE(json.contains(key) && json[key].is_number()) << key;
  EXPECT_NEAR(json["bits_per_weight"].get<double>(), record["bits_per_weight"].get<double>(), 1e-9);

  const auto spoken = run({"run", store, "--prompt", "hello", "--tokens", "8"});
  EXPECT_EQ(spoken.code, 0) << spoken.err;
  EXPECT_NE(spoken.err.find("tokens/s"), std::string::npos);

  for (const char* arithmetic : {"packed", "expanded", "f32"})
    EXPECT_EQ(run({"run", store, "--prompt", "hello", "--tokens", "8", "--arithmetic", arithmetic}).out, spoken.out);
  EXPECT_EQ(run({"run", store, "--prompt", "hello", "--tokens", "8", "--expand"}).out, spoken.out);

  ::setenv("NEARPLANE_TARGET", "scalar", 1);
  const auto plain = run({"run", store, "--prompt", "hello", "--tokens", "8"});
  EXPECT_EQ(plain.out, spoken.out);
  EXPECT_NE(plain.err.find("scalar"), std::string::npos) << plain.err;
  ::setenv("NEARPLANE_TARGET", "mmx", 1);
  const auto unknown = run({"run", store, "--prompt", "hello"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_NE(unknown.err.find("\"mmx\""), std::string::npos) << unknown.err;
  ::unsetenv("NEARPLANE_TARGET");

  const auto inspected = run({"inspect", store});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_NE(inspected.out.find("model.layers.1.self_attn.k_proj"), std::string::npos);

  const auto exported = run({"export", store, "--format", "compressed-tensors", "-o", folder.path() / "exported"});
  EXPECT_EQ(exported.code, 0) << exported.err;
  EXPECT_TRUE(fs::exists(folder.path() / "exported/config.json"));
  EXPECT_TRUE(fs::exists(folder.path() / "exported/tokenizer.json"));

  const auto refused = run({"export", store, "--format", "gptq", "-o", folder.path() / "refused"});
  EXPECT_EQ(refused.code, 2);  // k_proj has 16 outputs, the format wants multiples of 32
  EXPECT_NE(refused.err.find("k_proj"), std::string::npos) << refused.err;
  EXPECT_FALSE(fs::exists(folder.path() / "refused"));
}

TEST_F(CommandLine, PlansWithTheOptionsOfQuantize) {
  std::vector<std::string> line{"plan",      model, "--group",  "32", "--calib", text,
                                "--samples", "8",   "--length", "64", "--bits",  "4"};
  const auto said = run(line);
  ASSERT_EQ(said.code, 0) << said.err;
  for (const char* part : {"one of 2 blocks", "model.layers.0.mlp.down_proj", "time ", "memory ", "disk "})
    EXPECT_NE(said.out.find(part), std::string::npos) << said.out;
  line.push_back("--json");
  const auto json = parse_json(run(line).out, "output");
  EXPECT_EQ(json["blocks"], 2);
  EXPECT_EQ(json["layers"].size(), 7u);
  EXPECT_GT(json["peak_memory"].get<double>(), 1e6);
  EXPECT_FALSE(fs::exists(store));
}

TEST_F(CommandLine, SaysWhatAnEmbeddingInEightBitsCosts) {
  const auto quantized = run(quantize({"--bits", "4", "--embedding-bits", "8"}));
  ASSERT_EQ(quantized.code, 0) << quantized.err;
  const auto inspected = run({"inspect", store});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  for (const char* name : {"model.embed_tokens", "lm_head"}) {
    const auto line = std::string(name) + ": 128 x 32, 8.500 bits per weight, relative error ";
    EXPECT_NE(quantized.out.find(line), std::string::npos) << quantized.out;
    EXPECT_NE(inspected.out.find(line), std::string::npos) << inspected.out;
  }
  EXPECT_NE(quantized.out.find(", 4352 bytes\n"), std::string::npos) << quantized.out;
  const auto record = read_json(store / "record.json");
  EXPECT_EQ(record["embedding_bits"], 8);
  EXPECT_EQ(record["embeddings"][1]["name"], "lm_head");
  EXPECT_EQ(record["embeddings"][1]["stored_bytes"], 4352);
  EXPECT_EQ(record["embeddings"][1]["bits_per_weight"], 8.5);
}

TEST_F(CommandLine, BadInputExitsWithTwoAndOneMessage) {
  const auto missing = run({"quantize", folder.path() / "absent", "-o", store});
  EXPECT_EQ(missing.code, 2);
  EXPECT_NE(missing.err.find("absent"), std::string::npos);
  EXPECT_EQ(std::count(missing.err.begin(), missing.err.end(), '\n'), 1) << missing.err;
  EXPECT_EQ(run({"quantize", model}).code, 2);
  EXPECT_EQ(run({"sing"}).code, 2);
  EXPECT_EQ(run(quantize({"--bits", "12"})).code, 2);
  EXPECT_EQ(run(quantize({"--method", "magic"})).code, 2);
  EXPECT_EQ(run(quantize({"--drift", "some"})).code, 2);
  EXPECT_EQ(run(quantize({"--embedding-bits", "16"})).code, 2);
  EXPECT_EQ(run(quantize({"--method", "trellis", "--slope", "two"})).code, 2);
  EXPECT_EQ(run(quantize({"--mix", "3", "--bits", "3"})).code, 2);
  fs::create_directory(store);
  EXPECT_EQ(run(quantize()).code, 2);
  EXPECT_EQ(run({"--help"}).code, 0);
  EXPECT_EQ(run({"quantize", "--help"}).code, 0);
}

TEST_F(CommandLine, SamplesStopsAndChats) {
  const std::vector<std::string> sampled{
      "run",     model, "--prompt", "hello", "--tokens", "30", "--temperature",        "1",  "--top-k", "60",
      "--top-p", "0.9", "--min-p",  "0.01",  "--seed",   "3",  "--repetition-penalty", "1.1"};
  const auto first = run(sampled);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(std::count(first.err.begin(), first.err.end(), '\n'), 1) << first.err;
  EXPECT_NE(first.err.find("5 prompt tokens"), std::string::npos) << first.err;
  ASSERT_GT(first.out.size(), 10u);
  auto more = sampled;
  more.insert(more.end(), {"--stop", "never in it", "--stop", first.out.substr(3, 5), "--threads", "1", "-q"});
  const auto stopped = run(more);
  EXPECT_EQ(stopped.out, first.out.substr(0, first.out.find(first.out.substr(3, 5))) + "\n");
  EXPECT_EQ(stopped.err, "");

  const auto chat = [&](std::vector<std::string> options) {
    std::vector<std::string> all{"run", model, "--chat", "--tokens", "5"};
    all.insert(all.end(), options.begin(), options.end());
    return run(all);
  };
  EXPECT_EQ(chat({"--prompt", "hi"}).code, 2);  // no template yet
  add_chat_template(model);
  const auto once = chat({"--prompt", "hi"});
  EXPECT_EQ(once.code, 0) << once.err;
  EXPECT_NE(once.err.find("18 prompt tokens in"), std::string::npos) << once.err;
  input = folder.write("said", "hi\n\nwhat?\nbad \xff line\n");
  const auto lines = chat({});
  EXPECT_EQ(lines.code, 2);  // one line could not be answered, the others were
  EXPECT_EQ(lines.out.substr(0, once.out.size()), once.out);
  EXPECT_GT(lines.out.size(), once.out.size());
  EXPECT_NE(lines.err.find(" known in "), std::string::npos) << lines.err;
  EXPECT_NE(lines.err.find("nearplane: prompt: is not valid UTF-8 at byte 4 of 10\n"), std::string::npos) << lines.err;
}

TEST_F(CommandLine, RunRefusesWithOneMessage) {
  const auto refused = [&](std::vector<std::string> options, const char* part) {
    std::vector<std::string> all{"run", model};
    all.insert(all.end(), options.begin(), options.end());
    const auto finished = run(all);
    EXPECT_EQ(finished.code, 2) << part;
    EXPECT_EQ(finished.out, "") << part;
    EXPECT_NE(finished.err.find(part), std::string::npos) << finished.err;
    EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
  };
  refused({"--prompt", "a", "--top-p", "1.5"}, "top-p: 1.5");
  refused({"--prompt", "a", "--top-k", "-1"}, "top-k: -1");
  refused({"--prompt", "a", "--min-p", "nan"}, "min-p: nan");
  refused({"--prompt", "a", "--temperature", "-1"}, "temperature: -1");
  refused({"--prompt", "a", "--repetition-penalty", "0"}, "repetition-penalty: 0");
  refused({"--prompt", "a", "--tokens", "0"}, "tokens: 0");
  refused({"--prompt", "a", "--stop", ""}, "stop: an empty");
  refused({"--prompt", "a", "--system", "x"}, "--system: needs --chat");
  refused({"--prompt", "a\xff"}, "prompt: is not valid UTF-8");
  refused({"--prompt", "a", "--tokens", "256"}, "context of 256");
  refused({"--prompt", "a", "--chat"}, "no chat template");
  folder.write("llama/chat_template.jinja", "{{ messages }}");
  refused({"--prompt", "a", "--chat"}, "chat_template.jinja: chat template '{{ messages }}...'");
}

TEST_F(CommandLine, CtrlCKeepsWhatIsFinishedAndSaysHowToGoOn) {
  // Enough work to be still at it: the model writes a lot of calibration text.
  const std::vector<std::string> much{"quantize", model,       "-o",     store,      "--group",
                                      "32",       "--samples", "100000", "--length", "200"};
  const auto child = start(much);
  while (!fs::exists(store.string() + ".partial/rest.json")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ::kill(child.pid(), SIGINT);
  const auto finished = child.finish();
  EXPECT_EQ(finished.code, 130) << finished.err;
  EXPECT_NE(finished.err.find("stopped"), std::string::npos) << finished.err;
  EXPECT_NE(finished.err.find("store.partial: the same call goes on"), std::string::npos) << finished.err;
  EXPECT_FALSE(fs::exists(store));

  const auto other = run(quantize());
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("--restart"), std::string::npos) << other.err;
  const auto restarted = run(quantize({"--restart"}));
  EXPECT_EQ(restarted.code, 0) << restarted.err;
  EXPECT_TRUE(fs::exists(store));
  EXPECT_FALSE(fs::exists(store.string() + ".partial"));
}

}  // namespace
}  // namespace nearplane
