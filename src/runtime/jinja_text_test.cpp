#include "runtime/jinja_text.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace nearplane {
namespace {

TEST(JinjaText, OneWayOfWriting) {
  const JinjaText text("{{- \"it's\\n\" + message.content | trim -}}");
  EXPECT_TRUE(text.has("{{'it\\'s\n'+message['content']|trim}}"));
  EXPECT_EQ(text.literals(), std::vector<std::string>{"it's\n"});
  EXPECT_TRUE(JinjaText("{% if  message.contents and x.role %}").has("{%ifmessage.contentsandx['role']%}"));
  EXPECT_TRUE(JinjaText("{# '}} #}{{ 'a}}' ~ 'b' }}").has("{{'a}}b'}}"));
}

TEST(JinjaText, OutputsRightBehindOneAnotherAreOne) {
  EXPECT_TRUE(JinjaText("a {{ x }} b{{ 'c' }}").has("{{'a '+x+' bc'}}"));
  EXPECT_TRUE(JinjaText("{{ 'a' }}{% if x %}{{ 'b' }}{% endif %}").has("{{'a'}}{%ifx%}{{'b'}}{%endif%}"));
}

// As jinja2 prints these with trim_blocks and lstrip_blocks.
TEST(JinjaText, WhiteSpaceBetweenStatements) {
  EXPECT_TRUE(JinjaText("  {% if x %}\n  {% endif %}\n{{ 'a' }}").has("{%ifx%}{%endif%}{{'a'}}"));
  EXPECT_TRUE(JinjaText("{% if x %}\n  {{ y }}\n{% endif %}").has("{%ifx%}{{'  '+y+'\n'}}{%endif%}"));
  EXPECT_TRUE(JinjaText("{% if x -%}\n  {{ y }}\n{%- endif %}").has("{%ifx%}{{y}}{%endif%}"));
  EXPECT_TRUE(JinjaText("{% if x %} {% endif %}").has("{%ifx%}{{' '}}{%endif%}"));
  EXPECT_TRUE(JinjaText("a\n  {% if x %}").has("{{'a\n'}}{%ifx%}"));
  EXPECT_TRUE(JinjaText("{{ x }}\n").has("{{x}}"));
}

TEST(JinjaText, LiteralsAfterAnExpression) {
  const JinjaText text("{% set d = now() %}{% set d = \"26 Jul\" %}");
  EXPECT_EQ(text.literal_after("setd="), "26 Jul");
  EXPECT_EQ(text.literal_after("sete="), std::nullopt);
}

// A model's file is not to be trusted: whatever the template, reading it ends.
TEST(JinjaText, AnyTextIsRead) {
  Rng rng(1);
  constexpr std::string_view kPieces[] = {"{{", "}}", "{%", "%}", "{#",    "#}", "-", "+",
                                          "'",  "\"", "\\", "x",  ".role", "\n", " "};
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (auto n = rng.below(12); n > 0; --n) text += kPieces[rng.below(std::size(kPieces))];
    const JinjaText read(text);
    read.literal_after("x=");
  }
}

}  // namespace
}  // namespace nearplane
