// What the hook command sends of a runner's JSON: all of it, or how much is missing.
#include "cli/hook_client.h"

#include "agents/hook.h"
#include "base/text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::cli {
namespace {

using nlohmann::json;

json sent(const json& hook) {
  const std::string datagram = hook_datagram({{"runner", "claude"}}, hook);
  EXPECT_LE(datagram.size(), agents::kMaxHookBytes);
  return json::parse(datagram)["hook"];
}

TEST(HookDatagramTest, WhatFitsIsSentAsItIs) {
  const json hook{{"tool_name", "Bash"}, {"tool_input", {{"command", "make"}, {"list", {1, 2}}}}};
  EXPECT_EQ(sent(hook), hook);
}

TEST(HookDatagramTest, EachCutTellsHowMuchIsMissing) {
  const json hook{{"tool_input", {{"command", std::string(1500, 'x')}}}};
  EXPECT_EQ(sent(hook)["tool_input"]["command"], std::string(1000, 'x') + cut_mark(500));
  json many = json::object();
  for (int i = 0; i < 40; ++i) many["k" + std::to_string(100 + i)] = i;
  EXPECT_TRUE(is_cut(sent({{"tool_input", many}})["tool_input"]["more"].get<std::string>()));
  json list = json::array();
  for (int i = 0; i < 40; ++i) list.push_back(i);
  EXPECT_TRUE(is_cut(sent({{"tool_input", list}})["tool_input"].back().get<std::string>()));
  json deep = 1;
  for (int i = 0; i < 8; ++i) deep = json{{"in", deep}};
  EXPECT_TRUE(is_cut(sent({{"tool_input", deep}}).dump()));
}

TEST(HookDatagramTest, AnInputThatFitsInNoWayIsTold) {
  json input = json::array();
  for (int i = 0; i < 30; ++i) input.push_back(json::array());
  for (json& inner : input) {
    for (int i = 0; i < 30; ++i) inner.push_back(std::string(100, 'x'));
  }
  const json hook =
      sent({{"hook_event_name", "PermissionRequest"}, {"tool_name", "x"}, {"tool_input", input}});
  EXPECT_EQ(hook["tool_input"], cut_mark(input.dump().size()));
  EXPECT_EQ(hook["tool_name"], "x");
}

}  // namespace
}  // namespace agentmesh::cli
