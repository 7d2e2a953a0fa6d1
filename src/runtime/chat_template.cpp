#include "runtime/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/atomic_file.h"
#include "base/check.h"
#include "container/tensor_file.h"
#include "runtime/jinja_text.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

struct Source {
  JinjaText jinja;
  std::string bos, eos;
  const std::string& where;

  bool has(const std::string& written) const { return jinja.has(written); }
  [[noreturn]] void refuse(const char* family, std::string_view reason) const {
    fail_unsupported(where, "chat template: the markers are those of {}, but {}", family, reason);
  }
};

constexpr const char* kChatML = "ChatML";
constexpr const char* kLlama3 = "Llama 3";
constexpr const char* kLlama2 = "Llama 2";
constexpr const char* kMistral = "Mistral";
constexpr const char* kOtherMessages = "its messages are framed in a way not known here";

// Begins with BOS where the template writes it.
std::string start_of(const Source& source, const char* family) {
  if (!source.has("bos_token")) return {};
  if (!source.has("{{bos_token")) source.refuse(family, "bos_token does not stand at the start");
  return source.bos;
}

// Every message between <|im_start|> and <|im_end|>, in one of the ways templates write that.
bool has_chatml_frames(const Source& source) {
  const std::string open = "'<|im_start|>'+message['role']+'\n'+", text = "message['content']",
                    close = "'<|im_end|>\n'";
  if (source.has(open + text + "+" + close)) return true;
  if (source.has("{%setcontent=" + text + "%}") && source.has(open + "content+" + close)) return true;
  // One that leaves a last message of the model open, which no conversation here has.
  const std::string unless_last = "{%if(loop.lastandadd_generation_prompt)ornotloop.last%}";
  return source.has(open + text + "}}" + unless_last + "{{" + close + "}}{%endif%}");
}

// The system message that stands in a ChatML template as a whole message.
std::optional<std::string> written_system_message(const Source& source, const std::string& open) {
  for (const auto& literal : source.jinja.literals()) {
    const auto end = literal.find("<|im_end|>");
    if (literal.starts_with(open) && end != literal.npos && end > open.size())
      return literal.substr(open.size(), end - open.size());
  }
  return std::nullopt;
}

// <|im_start|>role \n text <|im_end|> \n: SmolLM2, Qwen 1.5 to 3.
ChatFormat chatml(const Source& source) {
  if (!has_chatml_frames(source)) source.refuse(kChatML, kOtherMessages);
  if (source.has("setsystem_message")) source.refuse(kChatML, "it puts its system message together by itself");
  ChatFormat format;
  format.name = kChatML;
  format.start = start_of(source, kChatML);
  const auto frame = [](const char* role) {
    return ChatFormat::Frame{fmt::format("<|im_start|>{}\n", role), "<|im_end|>\n"};
  };
  format.system = frame("system"), format.user = frame("user"), format.assistant = frame("assistant");
  format.reply = format.assistant.open;
  const bool speaks = source.has("'" + format.reply + "'"), thinks = source.has("'" + format.reply + "<think>\n'");
  if (speaks == thinks) source.refuse(kChatML, "what opens the model's reply is not known here");
  if (thinks) format.reply += "<think>\n";
  format.drops_thinking = source.has("</think>");
  format.default_system = written_system_message(source, format.system.open);
  return format;
}

// Llama 3, and the later ones that open every conversation with two dates: the day is the one the template falls back
// to where nobody tells it another, so that the same call gives the same text on any day.
ChatFormat llama3(const Source& source) {
  if (!source.has("'<|start_header_id|>'+message['role']+'<|end_header_id|>\n\n'+message['content']|trim+'<|eot_id|>'"))
    source.refuse(kLlama3, kOtherMessages);
  ChatFormat format;
  format.name = kLlama3;
  if (source.has("bos_token")) format.start = source.bos;
  const auto frame = [](const char* role) {
    return ChatFormat::Frame{fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n", role), "<|eot_id|>", true};
  };
  format.system = frame("system"), format.user = frame("user"), format.assistant = frame("assistant");
  format.reply = format.assistant.open;
  if (source.has("Knowledge Date")) {
    const std::string dates = "Cutting Knowledge Date: December 2023\nToday Date: ";
    const auto today = source.jinja.literal_after("setdate_string=");
    if (!today || !source.has(dates + "'+date_string+'\n\n'"))
      source.refuse(kLlama3, "its dates are written in a way not known here");
    format.system.open += dates + *today + "\n\n";
    format.default_system = "";
  }
  return format;
}

// <s>[INST] <<SYS>> \n system \n <</SYS>> \n\n text [/INST] reply </s>, each turn with BOS and EOS.
ChatFormat llama2(const Source& source) {
  if (!source.has("bos_token+'[INST] '+content.strip()+' [/INST]'") ||
      !source.has("' '+content.strip()+' '+eos_token") ||
      !source.has("'<<SYS>>\n'+system_message+'\n<</SYS>>\n\n'+message['content']"))
    source.refuse(kLlama2, kOtherMessages);
  if (source.has("true==true")) source.refuse(kLlama2, "a switch in it adds a system message");
  ChatFormat format;
  format.name = kLlama2;
  format.user = {source.bos + "[INST] ", " [/INST]", true};
  format.assistant = {" ", " " + source.eos, true};
  format.system = {"<<SYS>>\n", "\n<</SYS>>\n\n"};
  format.system_place = ChatFormat::SystemPlace::first_user;
  return format;
}

ChatFormat::SystemPlace mistral_system_place(const Source& source, const ChatFormat::Frame& user) {
  if (!source.has("'" + user.open + "'+system_message+'\n\n'+message['content']+'" + user.close + "'"))
    return ChatFormat::SystemPlace::none;
  if (source.has("loop.firstandsystem_message")) return ChatFormat::SystemPlace::first_user;
  if (source.has("loop.lastandsystem_message") || source.has("(message==user_messages[-1])andsystem_message"))
    return ChatFormat::SystemPlace::last_user;
  source.refuse(kMistral, "where its system message goes is not known here");
}

// <s>[INST] text [/INST] reply </s>: the versions of Mistral's format differ in spaces and in where the system message
// goes.
ChatFormat mistral(const Source& source) {
  if (source.has("[SYSTEM_PROMPT]")) source.refuse(kMistral, "it has system prompts of version 7 or later");
  ChatFormat format;
  format.name = kMistral;
  format.start = start_of(source, kMistral);
  bool found = false;
  for (const auto* open : {"[INST] ", " [INST] ", "[INST]"})
    for (const auto* close : {" [/INST]", "[/INST]"})
      if (source.has(fmt::format("'{}'+message['content']+'{}'", open, close))) {
        if (std::exchange(found, true)) source.refuse(kMistral, kOtherMessages);
        format.user = {open, close};
      }
  if (!found) source.refuse(kMistral, kOtherMessages);
  struct Reply {
    const char* written;
    ChatFormat::Frame frame;
  };
  const std::array replies{Reply{"' '+message['content']|trim+eos_token", {" ", source.eos, true}},
                           Reply{"' '+message['content']+eos_token", {" ", source.eos}},
                           Reply{"message['content']|trim+eos_token", {"", source.eos, true}},
                           Reply{"message['content']+eos_token+' '", {"", source.eos + " "}},
                           Reply{"message['content']+eos_token", {"", source.eos}}};  // the longer before its part
  const auto reply = std::ranges::find_if(replies, [&](const Reply& r) { return source.has(r.written); });
  if (reply == replies.end()) source.refuse(kMistral, kOtherMessages);
  format.assistant = reply->frame;
  format.system = {"", "\n\n"};
  format.system_place = mistral_system_place(source, format.user);
  return format;
}

// A token that tokenizer_config.json names: a text, or an object with one.
std::string token_text(const Json& config, const char* key, const std::string& where) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return {};
  if (it->is_object()) return json_get<std::string>(*it, "content", where + ": " + key);
  return json_get<std::string>(config, key, where);
}

std::string template_text(const Json& config, const std::string& where) {
  const auto it = config.find("chat_template");
  if (it == config.end() || it->is_null())
    fail_input(where, "the model has no chat template; it can continue a prompt all the same");
  if (!it->is_array()) return json_get<std::string>(config, "chat_template", where);
  for (const auto& entry : *it)
    if (json_find<std::string>(entry, "name", where) == "default")
      return json_get<std::string>(entry, "template", where);
  fail_unsupported(where, "none of its {} chat templates is called 'default'", it->size());
}

}  // namespace

ChatFormat recognise_chat_template(std::string_view jinja, const std::string& bos, const std::string& eos,
                                   const std::string& where) {
  const Source source{JinjaText(jinja), bos, eos, where};
  if (source.has("<|im_start|>")) return chatml(source);
  if (source.has("<|start_header_id|>")) return llama3(source);
  if (source.has("[INST]")) {
    if (eos.empty()) fail_input(where, "the chat template ends replies with an eos_token, and the model names none");
    return source.has("<<SYS>>") ? llama2(source) : mistral(source);
  }
  fail_unsupported(where, "chat template '{}...' is of no known family (ChatML, Llama 3, Llama 2 and Mistral are)",
                   replace_invalid_utf8(jinja.substr(0, std::min<std::size_t>(60, jinja.find('\n')))));
}

ChatFormat open_chat_format(const std::filesystem::path& model) {
  const auto config_path = model / "tokenizer_config.json", jinja_path = model / "chat_template.jinja";
  const bool folder = std::filesystem::is_directory(model);
  Json config = Json::object();
  if (!folder)
    config = tokenizer_config_from_gguf(open_gguf(model).metadata(), model.string());
  else if (exists(config_path))
    config = read_json(config_path);
  auto where = folder ? config_path.string() : model.string();
  if (!config.is_object()) fail_input(where, "expected a JSON object");
  const auto bos = token_text(config, "bos_token", where), eos = token_text(config, "eos_token", where);
  if (folder && exists(jinja_path)) {
    where = jinja_path.string();
    config["chat_template"] = read_file(jinja_path);
  }
  return recognise_chat_template(template_text(config, where), bos, eos, where);
}

}  // namespace nearplane
