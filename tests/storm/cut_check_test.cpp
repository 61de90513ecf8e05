// The storm's judge finds what it is there to find: each rule of cut_check.hpp, broken by hand.
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "cut_check.hpp"
#include "record.hpp"

using namespace storm;

namespace {

// A ledger of one round with two threads, whose file has no name any more.
class LedgerFile {
public:
    LedgerFile() : ledger_(make()) {
        ledger_.header().round = 1;
        (void)ledger_.take_lane(0);
        (void)ledger_.take_lane(1);
    }
    ~LedgerFile() { ::close(ledger_.descriptor()); }
    LedgerFile(const LedgerFile&) = delete;
    LedgerFile& operator=(const LedgerFile&) = delete;
    const Ledger& operator*() const { return ledger_; }
    const Ledger* operator->() const { return &ledger_; }

private:
    static Ledger make() {
        std::string folder = "/tmp/shoal-test-XXXXXX";
        if (::mkdtemp(folder.data()) == nullptr) std::abort();
        Ledger made = Ledger::create(folder + "/ledger");
        ::unlink((folder + "/ledger").c_str());
        ::rmdir(folder.c_str());
        return made;
    }

    Ledger ledger_;
};

constexpr std::uint32_t kKey = 3, kOtherKey = 4;

class Scene {
public:
    // A record of that thread, begun now.
    EntryNumber begin(std::uint32_t lane, std::uint32_t key = kKey) {
        const EntryNumber number = ledger_->begin(Kind::kRecord, lane, key, 100);
        std::string record;
        make_record({0, 100, 1, number, lane, key, number}, record);
        records_.resize(number + 1);
        records_[number] = record;
        return number;
    }
    EntryNumber append(std::uint32_t lane, std::uint32_t key = kKey) {
        const EntryNumber number = begin(lane, key);
        ledger_->settle(number, Fate::kDone);
        return number;
    }
    EntryNumber begin_erase() { return ledger_->begin(Kind::kErase, 0, kKey, 0); }
    void erase() { ledger_->settle(begin_erase(), Fate::kDone); }

    std::string& record(EntryNumber number) { return records_[number]; }

    std::string value(const std::vector<EntryNumber>& cut) const {
        std::string joined;
        for (const EntryNumber number : cut) joined += records_[number];
        return joined;
    }
    // What the judge says of a get that gave those, and that was begun at `before`.
    std::string judge(Ticket before, const std::vector<EntryNumber>& cut) {
        return check_.value(kKey, before, value(cut), ledger_->ticket());
    }
    std::string judge(const std::vector<EntryNumber>& cut) { return judge(ledger_->ticket(), cut); }

    LedgerFile& ledger() { return ledger_; }
    CutCheck& check() { return check_; }

private:
    LedgerFile ledger_;
    CutCheck check_{*ledger_};
    std::vector<std::string> records_;
};

bool says(const std::string& wrong, std::string_view rule) { return wrong.find(rule) != std::string::npos; }

}  // namespace

TEST_CASE("The judge accepts what may be") {
    Scene scene;
    CHECK(scene.judge({}) == "");
    const EntryNumber a = scene.append(0), b = scene.append(1), open = scene.begin(0);
    CHECK(scene.judge({a, b}) == "");
    CHECK(scene.judge({a, b, open}) == "");
    scene.erase();
    const EntryNumber c = scene.append(1);
    CHECK(scene.judge({c}) == "");
    scene.begin_erase();  // under way: it may have taken effect, or not
    CHECK(scene.judge({c}) == "");
    CHECK(scene.judge({}) == "");
}

TEST_CASE("The judge finds a record that is torn, foreign, of another key or round") {
    Scene scene;
    const EntryNumber a = scene.append(0), other = scene.append(0, kOtherKey);
    CHECK(says(scene.judge({a, other}), "C1"));
    scene.record(a)[60] ^= 1;
    CHECK(says(scene.judge({a}), "C1: record 0 is torn"));
    scene.record(a)[60] ^= 1;
    CHECK(scene.judge({a}) == "");
    CHECK(says(scene.check().value(kKey, 1, scene.value({a}) + "x", scene.ledger()->ticket()), "C1"));
    scene.ledger()->header().round = 2;
    CHECK(says(scene.judge({a}), "of round 1"));
}

TEST_CASE("The judge finds a record twice, out of its writer's order, or missing between two") {
    Scene scene;
    const EntryNumber a = scene.begin(0), b = scene.begin(0), c = scene.begin(0);
    CHECK(says(scene.judge(1, {a, b, a}), "C2: twice"));
    CHECK(says(scene.judge(1, {b, a}), "C2"));
    CHECK(says(scene.judge(1, {a, c}), "C2: missing"));
    CHECK(says(scene.judge(1, {b, c}), "C2: missing"));
    CHECK(scene.judge(1, {a, b}) == "");
}

TEST_CASE("The judge finds that an acknowledged record is missing") {
    Scene scene;
    const EntryNumber a = scene.append(0), b = scene.append(1);
    CHECK(says(scene.judge({a}), "C3"));
    CHECK(says(scene.judge({}), "C3"));
    CHECK(scene.judge(1, {a}) == "");  // that get began before anything was acknowledged
    CHECK(says(scene.check().contains(kKey, scene.ledger()->ticket(), false, scene.ledger()->ticket()), "C3"));
    CHECK(says(scene.check().size(kKey, scene.ledger()->ticket(), 1, 100, scene.ledger()->ticket()), "must be 2"));
    CHECK(scene.check().size(kKey, scene.ledger()->ticket(), 2, 200, scene.ledger()->ticket()) == "");
    scene.erase();
    const EntryNumber c = scene.append(0);
    CHECK(says(scene.judge({}), "C3"));
    CHECK(scene.judge({c}) == "");
    CHECK(b != 0);
}

TEST_CASE("The judge finds that what somebody has read is missing, though nobody acknowledged it") {
    Scene scene;
    const EntryNumber open = scene.begin(0);
    CHECK(scene.judge({}) == "");
    CHECK(scene.judge({open}) == "");
    CHECK(says(scene.judge({}), "C3"));
}

TEST_CASE("The judge finds B without A, and A behind B, of another writer") {
    Scene scene;
    const EntryNumber a = scene.append(0), b = scene.begin(1);
    CHECK(says(scene.judge(1, {b}), "C3/C4"));
    CHECK(says(scene.judge(1, {b, a}), "C4"));
    CHECK(scene.judge(1, {a, b}) == "");
}

TEST_CASE("The judge finds a record missing where no erase can have come between") {
    Scene scene;
    scene.begin_erase();  // by a thread that never says
    const EntryNumber a = scene.append(0), b = scene.append(1), c = scene.append(0);
    CHECK(scene.judge({}) == "");
    CHECK(scene.judge({c}) == "");
    CHECK(says(scene.judge({a, c}), "C4"));
    CHECK(scene.judge({b, c}) == "");
}

TEST_CASE(
    "The judge finds an erased record that is back, and an erase that takes effect after its process's death") {
    Scene scene;
    const EntryNumber a = scene.append(0);
    scene.erase();
    CHECK(says(scene.judge({a}), "C5"));
    CHECK(says(scene.check().contains(kKey, scene.ledger()->ticket(), true, scene.ledger()->ticket()), "C5"));
    scene.begin_erase();
    scene.ledger()->lane(0).dead.store(scene.ledger()->ticket());
    const EntryNumber b = scene.append(1);
    CHECK(scene.judge({b}) == "");
    CHECK(says(scene.judge({}), "C3"));
}

TEST_CASE("The judge finds what was refused or came too late") {
    Scene scene;
    const EntryNumber refused = scene.begin(0), late = scene.begin(1);
    scene.ledger()->settle(late, Fate::kTooLate);
    CHECK(says(scene.judge({}), "C3"));  // then there must be a value
    scene.ledger()->settle(refused, Fate::kRefused);
    CHECK(says(scene.judge({refused}), "C6"));
    CHECK(says(scene.judge({late}), "C6"));
}

TEST_CASE("The judge finds that two readers saw two orders") {
    Scene scene;
    const EntryNumber a = scene.begin(0), b = scene.begin(1);
    CHECK(scene.judge(1, {a, b}) == "");
    CHECK(says(scene.judge(1, {b, a}), "C7"));
}
