#include "agents/adapter.h"
#include "base/files.h"

#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

namespace fs = std::filesystem;

// This program is build/PRESET/tests/unit_agents.
fs::path screens() {
  return fs::read_symlink("/proc/self/exe").parent_path() / "../../../tests/agents/screens/codex";
}

std::string screen(std::string_view name) {
  return read_file(screens() / fmt::format("{}.txt", name), 1 << 20).value_or("");
}

// A file that a program printed looks like a dialog; the composer below shows that none is open.
TEST(CodexScreens, ADialogThatWasPrintedAboveTheComposerIsNone) {
  const Adapter& codex = **find_adapter("codex");
  for (const std::string_view name : {"permission", "permission_command", "question", "login",
                                      "dialog_new_model", "dialog_model_picker", "dialog_rate_limit_nudge"}) {
    const ScreenReading reading = codex.read_screen(screen(name) + screen("idle_after_turn"), "");
    EXPECT_EQ(reading.meaning, ScreenMeaning::idle) << name;
    EXPECT_TRUE(reading.composer) << name;
    EXPECT_EQ(reading.draft, "") << name;
  }
}

TEST(CodexScreens, AHalfTypedDraftIsSeen) {
  const Adapter& codex = **find_adapter("codex");
  EXPECT_EQ(codex.read_screen(screen("draft"), "").draft, "half typed");
  EXPECT_EQ(codex.read_screen(screen("busy_draft"), "").draft, "next");
  EXPECT_EQ(codex.read_screen(screen("dialog_slash_menu"), "").draft, "/");
}

}  // namespace
}  // namespace agentmesh::agents
