// Whether the screen shows the prompt that was told, before a key is pressed for it.
#include "daemon/answering.h"

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

TEST(SamePromptTest, ACommandIsTheSameAsFarAsBothAreShown) {
  EXPECT_TRUE(same_prompt("Bash: echo hi > made.txt", "echo hi > made.txt"));
  EXPECT_TRUE(same_prompt("Shell: echo hi > made.txt", "Shell  echo hi > made.txt"));
  EXPECT_TRUE(same_prompt("touch /workspace/x3", "touch /workspace/x3"));
  EXPECT_TRUE(same_prompt("Bash: cd /workspace && make all", "cd /workspace &&")) << "its first line";
  EXPECT_TRUE(same_prompt("Bash: make␛[31m all… (+900 bytes)", "make [31m all install"));
  EXPECT_TRUE(same_prompt("Shell: make", "Shell  make (builds all) [in src]"));
  EXPECT_TRUE(same_prompt(R"(echo "a: b")", R"(echo "a: b")"));
}

TEST(SamePromptTest, AnotherCommandIsNot) {
  EXPECT_FALSE(same_prompt("Bash: make", "rm -rf /"));
  EXPECT_FALSE(same_prompt("Bash: make", "make; rm -rf /")) << "it goes on";
  EXPECT_FALSE(same_prompt("Bash: ls", "false"));
  EXPECT_FALSE(same_prompt("Shell: ls", "Shell  rm"));
  EXPECT_FALSE(same_prompt("Bash: make", "Do you want to proceed?"));
  EXPECT_FALSE(same_prompt("Bash: make", " ─ "));
}

TEST(SamePromptTest, OfOtherThingsTheNameIsLookedFor) {
  EXPECT_TRUE(same_prompt("Edit: /workspace/src/a.txt", "WriteFile  Writing to a.txt"));
  EXPECT_TRUE(same_prompt("Write: /workspace/x.txt", "Do you want to create x.txt?"));
  EXPECT_FALSE(same_prompt("Write: /workspace/x.txt", "Do you want to create y.txt?"));
}

}  // namespace
}  // namespace agentmesh::daemon
