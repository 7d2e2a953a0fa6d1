// The work of a run that has not come to its end: a folder `OUTPUT.partial` beside the output, which the same call
// takes up where a run before, killed or stopped, left it. It holds the store in the making and items: small JSON
// values by name, each durable and with a checksum before put() returns. What has no item was not done. Promise: at
// every moment, a run that finds the folder ends with the bytes it would have had without interruption, or refuses.
// docs/reliability.md.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/folder_lock.h"
#include "base/json.h"

namespace nearplane {

class Journal {
 public:
  /// Takes the folder, or makes it. `run` is all that the bytes of the output depend on; `restart`: what is there is
  /// discarded. Error{bad_input}: `output` exists, another process has the folder, it holds something else, or the run
  /// that left it differs in something (named); Error{io}.
  Journal(const std::filesystem::path& output, const Json& run, bool restart);

  /// True if a run before began here.
  bool resumed() const { return resumed_; }
  /// True if all was done and the output has its name: nothing is left but finish().
  bool complete() const { return complete_; }

  const std::filesystem::path& output() const { return output_; }
  const std::filesystem::path& folder() const { return folder_; }
  /// Where the store is written until finish() gives it its name.
  std::filesystem::path store() const { return folder_ / "store"; }

  /// Error{bad_input} if the item is damaged.
  std::optional<Json> find(const std::string& item) const;
  void put(const std::string& item, const Json& value);
  /// Removes every file of the folder whose name begins so and ends in `.safetensors`, but for `kept`.
  void drop_data(const std::string& prefix, const std::filesystem::path& kept = {}) const;

  /// Gives the store its name and removes the folder. Error{io}.
  void finish();
  /// Removes the folder.
  void discard();

 private:
  bool clear() const;
  void require_ours() const;
  void require_same(const Json& run) const;

  std::filesystem::path output_, folder_;
  std::unique_ptr<FolderLock> lock_;
  bool resumed_ = false, complete_ = false;
};

}  // namespace nearplane
