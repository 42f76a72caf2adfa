#include "daemon/record_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::daemon {
namespace {

namespace wd = agentmesh::watchdog;

wd::AgentRecord full_record() {
  const WallTime now = from_millis(1'700'000'000'000);
  wd::AgentRecord record = wd::make_agent(*AgentName::parse("demo"), now);
  record.wanted = wd::Wanted::running;
  record.phase = wd::Phase::backoff;
  record.after = wd::After::backoff;
  record.deadline = now + Millis{5};
  record.epoch = 42;
  record.run = RunId{7};
  record.run_begun = true;
  record.spec_hash = "abc";
  record.container_id = "0123";
  record.resume = true;
  record.started_at = now;
  record.reason = "because";
  record.trouble = wd::Effect::create;
  record.trouble_kind = wd::Failure::unknown;
  record.exit = {137, 9, true, false, wd::ExitReason::killed, "exit code 137 (SIGKILL)", now};
  record.ending = wd::ExitReason::stuck_after_nudge;
  record.stop_timeout = Millis{1234};
  record.restarting = true;
  record.restarts = {now, now + Millis{1}};
  record.failures = 2;
  record.last_restart_at = now;
  record.next_restart_at = now + Millis{2};
  record.hold = wd::Hold::usage_limit;
  record.limited_until = now + Millis{3};
  record.work_open = true;
  record.excused = true;
  record.finished = true;
  record.resumed = true;
  record.resume_deaths = 1;
  record.unproved = true;
  record.stop_manner = wd::StopManner::force;
  record.tries = 3;
  return record;
}

TEST(RecordJsonTest, EveryMemberComesBackAsItWent) {
  const auto record = full_record();
  const auto again = record_from_json(to_json(record));
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(*again, record);
  const auto fresh = wd::make_agent(*AgentName::parse("a"), from_millis(1));
  EXPECT_EQ(*record_from_json(to_json(fresh)), static_cast<const wd::AgentRecord&>(fresh));
}

TEST(RecordJsonTest, ARowThatThisVersionDidNotWriteIsAnError) {
  const std::set<std::string> later{"resumed", "resume_deaths", "unproved", "stop_manner",
                                    "tries"};  // the first version had none
  const auto good = to_json(full_record());
  for (const auto& [key, value] : good.items()) {
    auto missing = good;
    missing.erase(key);
    EXPECT_EQ(record_from_json(missing).has_value(), later.contains(key)) << key;
    auto wrong = good;
    wrong[key] = nlohmann::json::array({nlohmann::json::object()});
    EXPECT_FALSE(record_from_json(wrong)) << key;
  }
  auto word = good;
  word["phase"] = "levitating";
  EXPECT_FALSE(record_from_json(word));
  EXPECT_FALSE(record_from_json(nlohmann::json("text")));
}

}  // namespace
}  // namespace agentmesh::daemon
