#include "runtime/chat_template.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

constexpr const char* kPlain =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'}}"
    "{% endfor %}{{ '<|im_start|>assistant\\n' }}";

ChatFormat recognise(const std::string& jinja) { return recognise_chat_template(jinja, "<s>", "</s>", "model"); }

// The conversation of a golden: its system message, and the others.
ChatPrompt render(const ChatFormat& format, const Json& messages) {
  std::optional<std::string> system;
  std::vector<ChatMessage> said;
  for (const auto& message : messages) {
    const auto text = message["content"].get<std::string>();
    if (message["role"] == "system")
      system = text;
    else
      said.push_back({message["role"] == "user" ? ChatRole::user : ChatRole::assistant, text});
  }
  return format.render(system, said);
}

class GoldenChat : public testing::TestWithParam<const char*> {
 protected:
  const Json golden = read_json(NEARPLANE_SOURCE_DIR "/tests/golden/chat/formats.json")[GetParam()];
};

// Byte for byte what transformers' apply_chat_template makes of the same template.
TEST_P(GoldenChat, Renders) {
  const auto format = recognise_chat_template(golden["template"].get<std::string>(), golden["bos"].get<std::string>(),
                                              golden["eos"].get<std::string>(), GetParam());
  for (const auto& conversation : golden["conversations"]) {
    const auto& messages = conversation["messages"];
    if (conversation["text"].is_null()) {
      expect_error(ErrorCode::unsupported, {"system message", format.name}, [&] { render(format, messages); });
      continue;
    }
    const auto prompt = render(format, messages);
    EXPECT_EQ(prompt.text, conversation["text"].get<std::string>());
    std::size_t done = 0;
    for (const auto& [begin, end] : prompt.quoted) {
      EXPECT_LE(done, begin);
      EXPECT_LT(begin, end);
      done = end;
      const auto text = prompt.text.substr(begin, end - begin);
      EXPECT_TRUE(std::ranges::any_of(messages,
                                      [&](const Json& message) {
                                        return message["content"].get<std::string>().find(text) != std::string::npos;
                                      }) ||
                  text == format.default_system)
          << text;
    }
    EXPECT_LE(done, prompt.text.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Templates, GoldenChat,
                         testing::Values("smollm2", "qwen1.5", "qwen2.5", "qwen3", "chatml-text", "llama3", "llama3.1",
                                         "llama2", "mistral-v1", "mistral-v1-system", "mistral-v3",
                                         "mistral-v3-tekken"),
                         [](const auto& format) {
                           std::string name = format.param;
                           std::erase_if(name, [](char c) { return c == '-' || c == '.'; });
                           return name;
                         });

TEST(ChatTemplate, AReasoningModelBeginsWithThinking) {
  const std::string jinja = std::string(kPlain) + "{# </think> #}";
  EXPECT_EQ(recognise(jinja).reply, "<|im_start|>assistant\n");
  auto thinking = jinja;
  thinking.insert(thinking.rfind("' }}"), "<think>\\n");
  EXPECT_EQ(recognise(thinking).reply, "<|im_start|>assistant\n<think>\n");
}

TEST(ChatTemplate, WhatIsNotKnownIsRefusedByName) {
  const auto refused = [](const std::string& jinja, std::initializer_list<std::string> parts) {
    expect_error(ErrorCode::unsupported, {"model"}, [&] { recognise(jinja); });
    expect_error(ErrorCode::unsupported, parts, [&] { recognise(jinja); });
  };
  const std::string plain = kPlain;
  const auto replaced = [&](const std::string& from, const std::string& to) {
    return std::string(plain).replace(plain.find(from), from.size(), to);
  };
  EXPECT_EQ(recognise(plain).name, "ChatML");
  refused("", {"no known family"});
  refused("{{ messages }}\nmore", {"'{{ messages }}...'", "no known family", "ChatML", "Mistral"});
  refused("<start_of_turn>{{ role }}", {"<start_of_turn>"});
  refused(replaced("message['content']", "message['content'] | trim"), {"ChatML", "framed"});
  refused(replaced("message['content']", "content"), {"ChatML", "framed"});
  refused(replaced("'\\n'", "'<|im_sep|>'"), {"ChatML", "framed"});
  refused("{% set system_message = 'x' %}" + plain, {"ChatML", "system message"});
  refused(plain + "{{ bos_token }}", {"ChatML", "bos_token"});
  refused(replaced("assistant\\n", "model\\n"), {"ChatML", "reply"});
  refused(plain + "{% if x %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}", {"ChatML", "reply"});
  refused("{{ '<|start_header_id|>' + message['role'] }}", {"Llama 3", "framed"});
  refused("{{ '<<SYS>>' + '[INST] ' }}", {"Llama 2", "framed"});
  refused("{{ '[INST] ' + message['text'] + ' [/INST]' }}", {"Mistral", "framed"});
  refused("{{ '[SYSTEM_PROMPT]' + '[INST] ' + message['content'] + '[/INST]' }}", {"Mistral", "version 7"});
  expect_error(ErrorCode::bad_input, {"model", "eos_token"},
               [] { recognise_chat_template("{{ '[INST] ' }}", "<s>", "", "model"); });
}

class OpenChatFormat : public testing::Test {
 protected:
  TemporaryFolder folder;
  const std::string json_template = Json(kPlain).dump();

  ChatFormat open(const std::string& config) {
    folder.write("tokenizer_config.json", config);
    return open_chat_format(folder.path());
  }
  void refused(const std::string& config, ErrorCode code, std::initializer_list<std::string> parts) {
    expect_error(code, {"tokenizer_config.json"}, [&] { open(config); });
    expect_error(code, parts, [&] { open(config); });
  }
};

TEST_F(OpenChatFormat, ReadsAllPlaces) {
  EXPECT_EQ(open(R"({"chat_template": )" + json_template + "}").name, "ChatML");
  EXPECT_EQ(
      open(R"({"chat_template": [{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": )" +
           json_template + "}]}")
          .name,
      "ChatML");
  const std::string mistral =
      "{{ bos_token }}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% if x %}{{ message['content'] + eos_token }}";
  folder.write("chat_template.jinja", mistral);  // comes before the other
  const auto format =
      open(R"({"bos_token": {"content": "<b>"}, "eos_token": "<e>", "chat_template": )" + json_template + "}");
  EXPECT_EQ(format.name, "Mistral");
  EXPECT_EQ(format.start, "<b>");
  EXPECT_EQ(format.assistant.close, "<e>");
}

TEST_F(OpenChatFormat, RefusesWhatIsNoTemplate) {
  expect_error(ErrorCode::bad_input, {folder.path().string(), "no chat template"},
               [&] { open_chat_format(folder.path()); });
  refused("[]", ErrorCode::bad_input, {"object"});
  refused("{}", ErrorCode::bad_input, {"no chat template"});
  refused(R"({"chat_template": 7})", ErrorCode::bad_input, {"chat_template"});
  refused(R"({"chat_template": [{"name": "rag", "template": ""}]})", ErrorCode::unsupported, {"default"});
  refused(R"({"bos_token": 7, "chat_template": ""})", ErrorCode::bad_input, {"bos_token"});
}

}  // namespace
}  // namespace nearplane
