// A quantization that is stopped, killed, or failed by its disk, and called again: the same bytes in the end, or a
// clear refusal. The short form tries some of the moments; with NEARPLANE_EVERY_MOMENT=1 every call that changes a
// file, and with NEARPLANE_KILLS=n the program is killed n times at random (scripts/test-interruptions).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>

#include "child_program.h"
#include "expect_error.h"
#include "faulty_files.h"
#include "nearplane/quantize.h"
#include "text_model.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

std::int64_t from_environment(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoll(text) : otherwise;
}

// Everything in a store; times and memory left out of its record.
std::map<std::string, std::string> contents(const fs::path& store) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(store)) out[entry.path().filename()] = read_file(entry.path());
  auto record = parse_json(out.at("record.json"), "record");
  for (const char* measured : {"seconds", "peak_memory"}) record.erase(measured);
  for (auto& layer : record["layers"]) layer.erase("seconds");
  out["record.json"] = record.dump();
  return out;
}

// Says stop when it is asked for the `patience`-th time.
struct Impatient : Observer {
  explicit Impatient(int times) : patience(times) {}
  bool cancelled() const override { return patience-- <= 0; }
  void on_message(Severity, std::string_view text) override { said += std::string(text) + "\n"; }
  mutable int patience;
  std::string said;
};

// Ways to quantize that between them use every item of the journal.
struct Way {
  const char* name;
  std::function<void(QuantizeOptions&)> choose;
};
const std::vector<Way> kWays{
    {"drift", [](auto& o) { o.drift.strength = 0.5; }},
    {"own_text_slope",
     [](auto& o) {
       o.calibration.files.clear(), o.calibration.samples = 70, o.calibration.length = 16;  // two batches of texts
       o.grid.method = Method::trellis, o.grid.bits = 5.5, o.slope = true;
     }},
    {"mix_embedding", [](auto& o) { o.mix = 4.5, o.embedding_bits = 8; }},
    {"rounding", [](auto& o) { o.grid.method = Method::rounding, o.grid.scales = ScaleSearch::minmax; }},
};

class Interruption : public testing::Test {
 protected:
  TemporaryFolder folder;
  Observer quiet;
  fs::path model = text_model(folder, "llama");
  fs::path text = folder.write("text.txt", random_text(1500, 1));
  fs::path out = folder.path() / "store", work = folder.path() / "store.partial";

  QuantizeOptions options(const Way& way = kWays[0]) const {
    QuantizeOptions options;
    options.grid.group = 32;
    options.threads = 2;
    options.calibration.files = {text};
    options.calibration.samples = 6, options.calibration.length = 32;
    way.choose(options);
    return options;
  }
  std::map<std::string, std::string> whole(const QuantizeOptions& options) {
    quantize(model, folder.path() / "whole", options, quiet);
    auto bytes = contents(folder.path() / "whole");
    fs::remove_all(folder.path() / "whole");
    return bytes;
  }
  void stop_after(int patience, const QuantizeOptions& options) {
    Impatient impatient(patience);
    expect_error(ErrorCode::cancelled, {"kept in", "store.partial", "--restart"},
                 [&] { quantize(model, out, options, impatient); });
    EXPECT_FALSE(fs::exists(out));
    EXPECT_TRUE(fs::exists(work));
  }
  // Called again, unless all was done: then the call may say that the output exists.
  void comes_to_its_end(const QuantizeOptions& options, const std::map<std::string, std::string>& expected) {
    const bool named = fs::exists(out);
    try {
      quantize(model, out, options, quiet);
    } catch (const Error& error) {
      EXPECT_TRUE(named) << error.what();
      EXPECT_NE(std::string(error.what()).find("exists already"), std::string::npos) << error.what();
    }
    EXPECT_EQ(contents(out), expected);
    EXPECT_FALSE(fs::exists(work));
    fs::remove_all(out);
  }
};

class EveryWay : public Interruption, public testing::WithParamInterface<Way> {};
INSTANTIATE_TEST_SUITE_P(Ways, EveryWay, testing::ValuesIn(kWays), [](const auto& way) { return way.param.name; });

TEST_P(EveryWay, StoppedAgainAndAgainGivesTheSameBytesForAnyNumberOfThreads) {
  auto choice = options(GetParam());
  choice.threads = 1;
  const auto expected = whole(choice);
  for (const int patience : {1, 3, 9}) {
    // Every call has the patience for a little more than a block, or less: then it must be given more.
    int stops = 0;
    for (int more = 0;; ++more) {
      choice.threads = std::array{1, 2, 8}[static_cast<std::size_t>(stops) % 3];
      Impatient impatient(patience + more);
      try {
        quantize(model, out, choice, impatient);
        break;
      } catch (const Error& error) {
        ASSERT_EQ(error.code(), ErrorCode::cancelled) << error.what();
        ++stops;
      }
    }
    EXPECT_GT(stops, 0);
    EXPECT_EQ(contents(out), expected) << patience;
    EXPECT_FALSE(fs::exists(work));
    fs::remove_all(out);
  }
}

TEST_P(EveryWay, AnyCallThatChangesAFileMayFail) {
  const auto choice = options(GetParam());
  FaultyFiles counting;
  std::map<std::string, std::string> expected;
  {
    const FileSystemInPlace in_place(counting);
    expected = whole(choice);
  }
  EXPECT_GT(counting.calls(), 50);
  const bool every = from_environment("NEARPLANE_EVERY_MOMENT", 0) != 0;
  for (const auto fault : {Fault::refused, Fault::full_disk, Fault::power_cut})
    for (std::int64_t at = static_cast<std::int64_t>(fault); at < counting.calls(); at += every ? 1 : 23) {
      SCOPED_TRACE(fmt::format("fault {} at call {}", static_cast<int>(fault), at));
      FaultyFiles faulty(fault, at);
      bool failed = false;
      try {
        const FileSystemInPlace in_place(faulty);
        quantize(model, out, choice, quiet);
      } catch (const Error& error) {
        failed = true;
        EXPECT_EQ(error.code(), ErrorCode::io) << error.what();
        EXPECT_NE(std::string(error.what()).find(folder.path().string()), std::string::npos) << error.what();
      }
      if (fault == Fault::power_cut) faulty.drop_unsynced();
      EXPECT_TRUE(failed || fs::exists(out));
      comes_to_its_end(choice, expected);
    }
}

// The same with the process gone. A child of its own runs this test to be killed in it.
TEST_P(EveryWay, KilledAtAnyCallThatChangesAFile) {
  const auto choice = options(GetParam());
  if (const char* path = std::getenv("NEARPLANE_TEST_CHILD")) {
    FaultyFiles deadly(Fault::kill, from_environment("NEARPLANE_TEST_CALL", 0));
    const FileSystemInPlace in_place(deadly);
    auto here = choice;
    if (!here.calibration.files.empty()) here.calibration.files = {fs::path(path) / "text.txt"};
    quantize(fs::path(path) / "llama", fs::path(path) / "store", here, quiet);
    return;
  }
  const auto expected = whole(choice);
  const auto* self = testing::UnitTest::GetInstance()->current_test_info();
  const auto filter = fmt::format("--gtest_filter={}.{}", self->test_suite_name(), self->name());
  const bool every = from_environment("NEARPLANE_EVERY_MOMENT", 0) != 0;
  std::int64_t at = 1;
  for (;; at += every ? 1 : 29) {
    ::setenv("NEARPLANE_TEST_CHILD", folder.path().c_str(), 1);
    ::setenv("NEARPLANE_TEST_CALL", std::to_string(at).c_str(), 1);
    const auto child = ChildProgram("/proc/self/exe", {filter}, folder.path()).finish();
    ::unsetenv("NEARPLANE_TEST_CHILD");
    if (child.code == 0) break;
    ASSERT_EQ(child.code, -SIGKILL) << child.out << child.err;
    SCOPED_TRACE(at);
    comes_to_its_end(choice, expected);
  }
  EXPECT_GT(at, 50);
  EXPECT_EQ(contents(out), expected);
}

// Counts the layers that are quantized.
struct Listener : Observer {
  void on_progress(const Progress& p) override { layers += p.stage == "quantize"; }
  void on_message(Severity, std::string_view text) override { said += text; }
  int layers = 0;
  std::string said;
};

TEST_F(Interruption, GoingOnIsSaidAndFinishedBlocksAreNotDoneAgain) {
  stop_after(20, options());
  Listener listener;
  EXPECT_TRUE(fs::exists(work / "block-00000.json"));
  const auto result = quantize(model, out, options(), listener);
  EXPECT_EQ(listener.layers, 7);  // of 14
  EXPECT_NE(listener.said.find("going on"), std::string::npos);
  EXPECT_EQ(result.layers.size(), 14u);
}

TEST_F(Interruption, AllIsKeptWhenTheStoreCannotHaveItsName) {
  struct NoNewNames : FileSystem {
    int rename_new(const fs::path&, const fs::path&) override {
      errno = EIO;
      return -1;
    }
  } no_new_names;
  {
    const FileSystemInPlace in_place(no_new_names);
    expect_error(ErrorCode::io, {"store", "cannot rename", "kept in"}, [&] { quantize(model, out, options(), quiet); });
  }
  Listener listener;
  EXPECT_EQ(quantize(model, out, options(), listener).layers.size(), 14u);
  EXPECT_EQ(listener.layers, 0);
}

TEST_F(Interruption, WhatDiffersIsNamedAndNothingIsLost) {
  const auto expected = whole(options());
  stop_after(20, options());
  const auto differs = [&](std::initializer_list<std::string> parts, const QuantizeOptions& other) {
    expect_error(ErrorCode::bad_input, parts, [&] { quantize(model, out, other, quiet); });
    EXPECT_TRUE(fs::exists(work / "block-00000.json"));
  };
  auto other = options();
  other.grid.bits = 4;
  differs({"store.partial", "grid/bits", "3.0", "4.0", "--restart"}, other);
  other = options(), other.drift.strength = 0;
  differs({"drift", "0.5"}, other);
  other = options(), other.calibration.files.push_back(text);
  differs({"calibration/files/1", "not there"}, other);
  const auto kept_text = read_file(text);
  write_file(text, kept_text + "!");
  differs({"text.txt", "is not the text", "store.partial"}, options());
  write_file(text, kept_text);
  const auto kept_config = read_file(model / "config.json");
  write_file(model / "config.json", kept_config + " ");
  differs({"hash/config.json"}, options());
  write_file(model / "config.json", kept_config);
  comes_to_its_end(options(), expected);
}

TEST_F(Interruption, RestartDiscardsWhatWasDone) {
  stop_after(20, options());
  auto other = options();
  other.grid.bits = 4;
  const auto expected = whole(other);
  other.restart = true;
  comes_to_its_end(other, expected);
}

TEST_F(Interruption, WhatCannotBeRemovedIsNotTakenForTheWorkOfAnother) {
  stop_after(20, options());
  struct Sticky : FileSystem {
    int remove(const fs::path& path) override {
      errno = EPERM;
      return path.filename() == "block-00000.json" ? -1 : FileSystem::remove(path);
    }
  } sticky;
  auto other = options();
  other.grid.bits = 4, other.restart = true;
  {
    const FileSystemInPlace in_place(sticky);
    expect_error(ErrorCode::io, {"store.partial", "cannot remove"}, [&] { quantize(model, out, other, quiet); });
  }
  comes_to_its_end(other, whole(other));
}

TEST_F(Interruption, DamagedWorkIsRefusedByName) {
  stop_after(20, options());
  for (const char* name : {"run.json", "rest.json", "block-00000.json", "block-00000.safetensors",
                           "store/block-00000.safetensors", "store/rest.safetensors"}) {
    const auto good = read_file(work / name);
    auto bad = good;
    bad[bad.size() - 4] = static_cast<char>(bad[bad.size() - 4] ^ 1);
    write_file(work / name, bad);
    expect_error(ErrorCode::bad_input, {name}, [&] { quantize(model, out, options(), quiet); });
    write_file(work / name, bad.substr(0, bad.size() / 2));
    expect_error(ErrorCode::bad_input, {name}, [&] { quantize(model, out, options(), quiet); });
    write_file(work / name, good);
  }
  quantize(model, out, options(), quiet);
}

TEST_F(Interruption, AnOutputThatAppearsMeanwhileIsNotTouched) {
  stop_after(20, options());
  fs::create_directory(out);
  expect_error(ErrorCode::bad_input, {"store", "exists already"}, [&] { quantize(model, out, options(), quiet); });
  EXPECT_TRUE(fs::is_empty(out));
  EXPECT_TRUE(fs::exists(work / "block-00000.json"));
}

TEST_F(Interruption, AFolderOfAnothersIsLeftAlone) {
  fs::create_directory(work);
  write_file(work / "notes.txt", "mine");
  auto choice = options();
  for (const bool restart : {false, true}) {
    choice.restart = restart;
    expect_error(ErrorCode::bad_input, {"store.partial", "notes.txt"}, [&] { quantize(model, out, choice, quiet); });
    EXPECT_EQ(read_file(work / "notes.txt"), "mine");
    EXPECT_FALSE(fs::exists(work / "lock"));
  }
}

TEST_F(Interruption, AReadOnlyPlaceIsNamed) {
  struct ReadOnly : FileSystem {
    int make_folder(const fs::path&) override {
      errno = EROFS;
      return -1;
    }
  } read_only;
  const FileSystemInPlace in_place(read_only);
  expect_error(ErrorCode::io, {"store.partial", "cannot create", "Read-only"},
               [&] { quantize(model, out, options(), quiet); });
}

class Program : public Interruption {
 protected:
  ChildProgram start(std::vector<std::string> more = {}) const {
    std::vector<std::string> all{"quantize", model, "-o", out, "--group", "32", "--calib", text, "--length", "32"};
    all.insert(all.end(), more.begin(), more.end());
    return ChildProgram(NEARPLANE_PROGRAM, all, folder.path());
  }
};

TEST_F(Program, KilledAtRandomAndCalledAgainGivesTheSameBytes) {
  const auto begin = std::chrono::steady_clock::now();
  const auto uninterrupted = start().finish();
  ASSERT_EQ(uninterrupted.code, 0) << uninterrupted.err;
  const auto whole_run = std::chrono::steady_clock::now() - begin;
  const auto expected = contents(out);
  fs::remove_all(out);
  Rng rng(static_cast<std::uint64_t>(from_environment("NEARPLANE_SEED", 1)));
  std::int64_t kills = 0;
  for (const auto wanted = from_environment("NEARPLANE_KILLS", 10); kills < wanted;) {
    const bool named = fs::exists(out);
    const auto child = start();
    std::this_thread::sleep_for(whole_run * rng.uniform());
    ::kill(child.pid(), SIGKILL);
    const auto finished = child.finish();
    kills += finished.code == -SIGKILL;
    if (named && finished.code == 2)  // killed as the last file of the folder was removed
      EXPECT_NE(finished.err.find("exists already"), std::string::npos) << finished.err;
    else
      ASSERT_TRUE(finished.code == 0 || finished.code == -SIGKILL) << finished.err;
    if (!fs::exists(out) || fs::exists(work)) continue;
    EXPECT_EQ(contents(out), expected);
    fs::remove_all(out);
  }
  start().finish();
  EXPECT_EQ(contents(out), expected);
  EXPECT_FALSE(fs::exists(work));
}

TEST_F(Program, TwoRunsOnOneStoreAreOneTooMany) {
  const auto first = start({"--alternate", "100", "--threads", "1"});
  const auto taken = [&] { return fs::exists(work / "lock") && !read_file(work / "lock").empty(); };
  for (int wait = 0; wait < 10'000 && !taken(); ++wait) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto elsewhere = folder.path() / "second";
  fs::create_directory(elsewhere);
  ::kill(first.pid(), SIGSTOP);
  const auto second =
      ChildProgram(NEARPLANE_PROGRAM, {"quantize", model, "-o", out, "--group", "32"}, elsewhere).finish();
  ::kill(first.pid(), SIGCONT);
  EXPECT_EQ(second.code, 2);
  EXPECT_NE(second.err.find(fmt::format("another run is writing here (process {})", first.pid())), std::string::npos)
      << second.err;
  const auto finished = first.finish();
  EXPECT_EQ(finished.code, 0) << finished.err;
  EXPECT_TRUE(fs::exists(out / "nearplane.json"));
}

}  // namespace
}  // namespace nearplane
