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
    EXPECT_EQ(words_of((*adapter)->read_screen(text_of(entry.path()), "")), text_of(expected))
        << entry.path();
    ++seen;
  }
  EXPECT_GT(seen, 40U);
}

// A file that a program printed looks like a dialog; the composer below shows that none is open.
void expect_printed_dialogs_are_none(std::string_view runner, std::string_view idle_name,
                                     std::initializer_list<std::string_view> dialogs) {
  const fs::path folder = screens() / runner;
  const std::string idle = text_of(folder / fmt::format("{}.txt", idle_name));
  const auto adapter = find_adapter(runner);
  ASSERT_TRUE(adapter);
  for (const std::string_view name : dialogs) {
    const ScreenReading reading =
        (*adapter)->read_screen(text_of(folder / fmt::format("{}.txt", name)) + idle, "");
    EXPECT_EQ(reading.meaning, ScreenMeaning::idle) << runner << ' ' << name;
    EXPECT_TRUE(reading.composer) << runner << ' ' << name;
  }
}

TEST(GoldenScreens, ADialogOfGeminiThatWasPrintedAboveTheComposerIsNone) {
  expect_printed_dialogs_are_none("gemini", "idle",
                                  {"permission", "permission_edit", "question", "dialog_trust",
                                   "login_choice", "login_key", "limit", "menu_model"});
}

TEST(GoldenScreens, ADialogOfClaudeThatWasPrintedAboveTheComposerIsNone) {
  expect_printed_dialogs_are_none("claude", "after_escape",
                                  {"permission", "permission_plan", "permission_write", "question",
                                   "dialog_trust", "dialog_api_key", "login_dialog", "menu_model"});
}

}  // namespace
}  // namespace agentmesh::agents
