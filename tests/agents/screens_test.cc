// Golden screens: what the real programs showed, captured with their colours, and beside each what is to be
// read from it.
#include "agents/adapter.h"
#include "base/files.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

namespace fs = std::filesystem;

// This program is build/PRESET/tests/unit_agents.
fs::path screens() {
  return fs::read_symlink("/proc/self/exe").parent_path() / "../../../tests/agents/screens";
}

std::string text_of(const fs::path& path) { return read_file(path, 1 << 20).value_or(""); }

std::string words_of(const ScreenReading& reading) {
  return fmt::format("meaning: {}\ndetail: {}\ncomposer: {}\ndraft: {}\n", to_string(reading.meaning),
                     reading.detail, reading.composer ? "yes" : "no", reading.draft);
}

TEST(GoldenScreens, EachIsReadAsExpected) {
  std::size_t seen = 0;
  for (const auto& entry : fs::recursive_directory_iterator(screens())) {
    if (entry.path().extension() != ".txt") continue;
    const std::string runner = entry.path().parent_path().filename().string();
    const auto adapter = find_adapter(runner);
    ASSERT_TRUE(adapter) << runner;
    fs::path expected = entry.path();
    expected.replace_extension(".expect");
    EXPECT_EQ(words_of((*adapter)->read_screen(text_of(entry.path()))), text_of(expected)) << entry.path();
    ++seen;
  }
  EXPECT_GT(seen, 10U);
}

// A file that a program printed looks like a dialog; the composer below shows that none is open.
TEST(GoldenScreens, ADialogThatWasPrintedAboveTheComposerIsNone) {
  const std::string idle = text_of(screens() / "gemini" / "idle.txt");
  const auto adapter = find_adapter("gemini");
  ASSERT_TRUE(adapter);
  for (const std::string_view name : {"permission", "permission_edit", "question", "dialog_trust",
                                      "login_choice", "login_key", "limit", "menu_model"}) {
    const std::string printed = text_of(screens() / "gemini" / fmt::format("{}.txt", name));
    const ScreenReading reading = (*adapter)->read_screen(printed + idle);
    EXPECT_EQ(reading.meaning, ScreenMeaning::idle) << name;
    EXPECT_TRUE(reading.composer) << name;
  }
}

}  // namespace
}  // namespace agentmesh::agents
