// The tokenizer of a Hugging Face folder, by the files it has.
#include "base/check.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder) {
  const auto json = folder / "tokenizer.json", model = folder / "tokenizer.model";
  const auto config_path = folder / "tokenizer_config.json", added_path = folder / "added_tokens.json";
  if (exists(json)) return tokenizer_from_json(read_json(json), json.string());
  if (!exists(model)) fail_input(folder.string(), "has neither tokenizer.json nor tokenizer.model");
  const auto config = exists(config_path) ? read_json(config_path) : Json::object();
  if (!config.is_object()) fail_input(config_path.string(), "expected a JSON object");
  // An older way to keep added tokens, without saying how they are to be found.
  if (exists(added_path) && !config.contains("added_tokens_decoder"))
    fail_unsupported(added_path.string(), "added tokens without 'added_tokens_decoder' in tokenizer_config.json");
  return tokenizer_from_json(tokenizer_json_from_sentencepiece(model, config), model.string());
}

}  // namespace nearplane
