// Whether the screen shows the prompt that was told, before a key is pressed for it.
#include "daemon/same_prompt.h"

#include <string>

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

TEST(SamePromptTest, ACommandIsTheSameToTheCharacterWhateverBreaksItsLines) {
  EXPECT_TRUE(same_prompt("Bash: echo hi > made.txt", "echo hi > made.txt"));
  EXPECT_TRUE(same_prompt("Shell: echo hi > made.txt", "Shell  echo hi > made.txt"));
  EXPECT_TRUE(same_prompt("touch /workspace/x3", "touch /workspace/x3")) << "Codex tells no kind";
  EXPECT_TRUE(same_prompt("Shell echo hi: there", "Shell  echo hi: there")) << "told by the screen itself";
  EXPECT_TRUE(same_prompt("Bash: cd /workspace⏎make all", "cd /work space make all")) << "wrapped";
  EXPECT_TRUE(same_prompt("Bash: make all", "│ make │ │ all │")) << "a frame";
  EXPECT_TRUE(same_prompt("Bash: make␛[31m all… (+900 bytes)", "make [31m all install"));
  EXPECT_TRUE(same_prompt(R"(echo "a: b")", R"(echo "a: b")"));
  EXPECT_TRUE(same_prompt("note: x", "note: x"));
}

TEST(SamePromptTest, AnotherCommandIsNot) {
  EXPECT_FALSE(same_prompt("Bash: make", "rm -rf /"));
  EXPECT_FALSE(same_prompt("Bash: make", "make; rm -rf /")) << "it goes on";
  EXPECT_FALSE(same_prompt("Bash: ls", "false"));
  EXPECT_FALSE(same_prompt("Shell: ls", "Shell  rm"));
  EXPECT_FALSE(same_prompt("Bash: make", "Do you want to proceed?"));
  EXPECT_FALSE(same_prompt("Bash: rm -rf ./build", "rm -rf /build")) << "a dot";
  EXPECT_FALSE(same_prompt("Bash: rm -rf /build", "rm -rf ./build"));
  EXPECT_FALSE(same_prompt("Bash: echo a && b", "echo a & b"));
  EXPECT_FALSE(same_prompt("note: x", "note y"));
}

TEST(SamePromptTest, ACommandThatIsShownShorterAgreesOnlyWhereThatIsSeen) {
  EXPECT_FALSE(same_prompt("Bash: cd /workspace && make all", "cd /workspace &&"));
  EXPECT_TRUE(same_prompt("Shell: cd /workspace && make all", "Shell  cd /workspace && ma…"));
  EXPECT_FALSE(same_prompt("Shell: cd /workspace && make all", "Shell  cd /workspace || ma…"));
  EXPECT_FALSE(same_prompt("Shell: cd /workspace && make all", "Shell  cd…")) << "too little";
  EXPECT_FALSE(same_prompt("Shell: make", "Shell…"));
  EXPECT_TRUE(same_prompt("Shell: cat > x <<EOF⏎rm -rf /⏎EOF", "Shell  cat > x <<EOF")) << "its first line";
  EXPECT_FALSE(same_prompt("Shell: cat > x <<EOF⏎rm -rf /⏎EOF", "Shell  cat > x"));
  const std::string all(600, 'x');
  EXPECT_TRUE(same_prompt("Bash: " + all.substr(0, 370) + "… (+230 bytes)", all.substr(0, 400)));
  EXPECT_TRUE(same_prompt(all.substr(0, 399) + "y", all.substr(0, 398))) << "no reading is longer";
}

TEST(SamePromptTest, GeminiDescribesACommandBehindIt) {
  EXPECT_TRUE(same_prompt("Shell: make", "Shell  make (builds all)"));
  EXPECT_TRUE(same_prompt("Shell: make", "Shell  make [in src] (builds all)"));
  EXPECT_TRUE(same_prompt("Shell: make", "Shell  make [current working directory /workspace] (builds al…"));
  EXPECT_TRUE(same_prompt("Shell: make", "Shell  make [current wor…"));
  EXPECT_FALSE(same_prompt("Shell: rm x", "Shell  rm x [a-z]*"));
  EXPECT_FALSE(same_prompt("Shell: rm x", "Shell  rm x [info]"));
  EXPECT_FALSE(same_prompt("Shell: make", "Shell  make (builds all); rm -rf /"));
  EXPECT_FALSE(same_prompt("Bash: make", "make (builds all)")) << "Claude Code does not";
}

TEST(SamePromptTest, OfAFileThePathIsTheSameAsFarAsItIsShown) {
  EXPECT_TRUE(same_prompt("Edit: /workspace/a.txt", "WriteFile  Writing to a.txt"));
  EXPECT_TRUE(same_prompt("Edit: /workspace/src/a.txt", "Edit  src/a.txt: one => two"));
  EXPECT_TRUE(same_prompt("Edit: /workspace/src/deep/er/a.txt", "Edit  src/.../er/a.txt: one => two"));
  EXPECT_TRUE(same_prompt("Write: /workspace/x.txt", "Do you want to create x.txt?"));
  EXPECT_TRUE(same_prompt("Write: /workspace/my x.txt", "Do you want to create my x.txt?"));
  EXPECT_FALSE(same_prompt("Write: /workspace/x.txt", "Do you want to create y.txt?"));
  EXPECT_FALSE(same_prompt("Write: /workspace/x.txt", "Do you want to create xx.txt?"));
  EXPECT_FALSE(same_prompt("Write: /workspace/x.txt", "Do you want to create x.txt.sh?"));
  EXPECT_FALSE(same_prompt("Edit: /workspace/src/a.txt", "Edit  b/a.txt: one => two")) << "another folder";
  EXPECT_FALSE(same_prompt("Edit: /workspace/src/a.txt", "Edit  lib/.../a.txt: one => two"));
  EXPECT_FALSE(same_prompt("Edit: /workspace/a.txt", "Edit  evil.txt: a.txt => b")) << "what is written";
}

TEST(SamePromptTest, OfAnythingElseTheWholeTextIsShown) {
  constexpr const char* kAsked = "WebFetch  Processing URLs and instructions from prompt: ";
  EXPECT_TRUE(same_prompt("Fetch: https://a.example/", std::string(kAsked) + R"("https://a.example/")"));
  EXPECT_TRUE(same_prompt("Fetch: https://a.example/page/1", std::string(kAsked) + R"("https://a.ex...")"));
  EXPECT_FALSE(same_prompt("Fetch: https://a.example/", std::string(kAsked) + R"("https://a.example/evil")"));
  EXPECT_FALSE(same_prompt("Fetch: https://a.example/", std::string(kAsked) + R"("https://b.example/")"));
  EXPECT_FALSE(same_prompt("Fetch: https://a.example/page/1", std::string(kAsked) + R"("https://b.ex...")"));
  EXPECT_FALSE(same_prompt("Fetch: https://a.example/",
                           std::string(kAsked) + R"("https://b.example/ https://a.example/")"));
}

TEST(SamePromptTest, ATextDoesNotBeginInsideAWord) {
  EXPECT_FALSE(same_prompt("Fetch: x", "WebFetch  Fetching the index"));
  EXPECT_TRUE(same_prompt("Fetch: x", "WebFetch  Fetching x"));
}

TEST(SamePromptTest, AnEmptyTextAgreesWithNothing) {
  for (const char* told : {"", " ", "Bash: ", "Fetch: ", "Edit: ", "Edit: /", "Fetch: https://a.example/"}) {
    for (const char* screen : {"", " ─ ", "…", "Shell  rm -rf /", "Do you want to proceed?"})
      EXPECT_FALSE(same_prompt(told, screen)) << told << '|' << screen;
  }
}

}  // namespace
}  // namespace agentmesh::daemon
