#include "pipeline/journal.h"

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/file_system.h"
#include "base/hash.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRun = "run";

std::string checksum(const Json& value) {
  const auto text = value.dump();
  return hash64_hex(std::as_bytes(std::span(text)));
}

fs::path without_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

fs::path partial(fs::path path) { return path += ".partial"; }

// What a process that was killed while it wrote left behind.
void remove_temporaries(const fs::path& folder) {
  if (!fs::is_directory(folder)) return;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_temporary(entry.path())) remove_tree(entry.path());
}

std::string text_of(const Json& flat, const std::string& key) {
  const auto found = flat.find(key);
  return found == flat.end() ? "not there" : found->dump();
}

}  // namespace

Journal::Journal(const fs::path& output, const Json& run, bool restart)
    : output_(without_slash(output)), folder_(partial(output_)) {
  if (!fs::exists(folder_)) require_absent(output_);
  make_folders(folder_);
  lock_ = std::make_unique<FolderLock>(folder_);
  require_ours();
  if (!restart && find(kRun)) {
    const bool named = fs::exists(fs::symlink_status(output_)), in_the_making = fs::exists(store());
    if (named && in_the_making) require_absent(output_);
    require_same(run);
    resumed_ = true, complete_ = named;
    remove_temporaries(folder_), remove_temporaries(store());
    return;
  }
  if (fs::exists(fs::symlink_status(output_))) {
    discard();
    require_absent(output_);
  }
  if (!clear()) fail_io(folder_.string(), "cannot remove what is in it", errno);
  make_folders(store());
  put(kRun, run);
}

std::optional<Json> Journal::find(const std::string& item) const {
  const auto path = folder_ / (item + ".json");
  if (!fs::exists(path)) return {};
  const auto whole = read_json(path);
  const auto value = whole.find("value");
  if (value == whole.end() || json_get<std::string>(whole, "checksum", path.string()) != checksum(*value))
    fail_input(path.string(), "checksum differs: the file is damaged; --restart begins anew");
  return *value;
}

void Journal::put(const std::string& item, const Json& value) {
  write_file(folder_ / (item + ".json"), Json{{"checksum", checksum(value)}, {"value", value}}.dump() + "\n");
}

void Journal::drop_data(const std::string& prefix, const fs::path& kept) const {
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path().filename().string().starts_with(prefix) && entry.path().extension() == ".safetensors" &&
        entry.path() != kept)
      file_system().remove(entry.path());
}

void Journal::finish() {
  if (!complete_) rename_folder(store(), output_);
  complete_ = true;
  discard();
}

void Journal::discard() {
  clear();
  file_system().remove(lock_->path());
  file_system().remove(folder_);
}

// The description of the run goes last, and only if nothing else is left: as long as it is there, the folder is known
// for what it is.
bool Journal::clear() const {
  const auto run = folder_ / (std::string(kRun) + ".json");
  const auto others = [&](const auto& each) {
    for (const auto& entry : fs::directory_iterator(folder_))
      if (entry.path() != lock_->path() && entry.path() != run) each(entry.path());
  };
  others([](const fs::path& path) { remove_tree(path); });
  bool empty = true;
  others([&](const fs::path&) { empty = false; });
  return empty && (!fs::exists(run) || file_system().remove(run) == 0);
}

// A folder of another's has this name? Nothing in it may be removed.
void Journal::require_ours() const {
  if (fs::exists(folder_ / (std::string(kRun) + ".json"))) return;
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path() != lock_->path() && !is_temporary(entry.path()) &&
        !(entry.path() == store() && entry.is_directory() && fs::is_empty(store()))) {
      file_system().remove(lock_->path());
      fail_input(folder_.string(), "is in the way: it holds {}, which is no unfinished run",
                 entry.path().filename().string());
    }
}

void Journal::require_same(const Json& run) const {
  const auto there = find(kRun)->flatten(), here = run.flatten();
  for (const auto& flat : {there, here})
    for (const auto& [key, unused] : flat.items())
      if (text_of(there, key) != text_of(here, key))
        fail_input(folder_.string(),
                   "an unfinished run is here whose {} is {}, now it is {}; the call of then goes on with it, "
                   "--restart discards it",
                   key.substr(1), text_of(there, key), text_of(here, key));
}

}  // namespace nearplane
