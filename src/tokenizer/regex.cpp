#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

#include "base/check.h"
#include "tokenizer/unicode.h"

namespace nearplane {
namespace {

constexpr std::size_t kStackStart = 32 << 10, kStackLimit = 64 << 20;  // bytes; beyond it matching is an error

// What one thread needs to match; made once per thread.
struct Scratch {
  Scratch() {
    if (data == nullptr || context == nullptr || stack == nullptr) throw std::bad_alloc();
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Scratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(kStackStart, kStackLimit, nullptr);
};

std::string message_of(int code) {
  char text[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

std::size_t next_start(std::string_view text, std::size_t at) {
  do ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

}  // namespace

struct Regex::Code {
  ~Code() { pcre2_code_free(compiled); }
  pcre2_code* compiled = nullptr;
};

Regex::Regex(const std::string& pattern, const std::string& where) : code_(std::make_unique<Code>()), where_(where) {
  const auto translated = "(*LF)" + pcre2_pattern(pattern, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  // ^ and $ match at every line there.
  code_->compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
  if (code_->compiled == nullptr)
    fail_unsupported(where, "regular expression '{}' is not understood: {}", pattern, message_of(error));
  pcre2_jit_compile(code_->compiled, PCRE2_JIT_COMPLETE);  // where there is no JIT, pcre2_match interprets
}

Regex::~Regex() = default;

void Regex::find_all(std::string_view text, std::vector<Match>& out) const {
  thread_local Scratch scratch;
  std::string replaced;
  const std::string_view subject = with_stand_ins(text, replaced) ? std::string_view(replaced) : text;
  std::size_t at = 0, last_end = text.size() + 1;
  while (at <= text.size()) {
    const int rc = pcre2_match(code_->compiled, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), at,
                               PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
    if (rc == PCRE2_ERROR_NOMATCH) return;
    if (rc < 0) fail_input(where_, "matching gave up at byte {} of a text of {}: {}", at, text.size(), message_of(rc));
    const auto* ends = pcre2_get_ovector_pointer(scratch.data);
    // An empty match right behind the last one does not count.
    if (ends[0] == ends[1] && ends[1] == last_end) {
      at = next_start(subject, at);
      continue;
    }
    out.push_back({ends[0], ends[1]});
    at = last_end = ends[1];
  }
}

}  // namespace nearplane
