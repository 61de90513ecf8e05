// The job from start to end: plan, cut, map, reduce, check, publish. Each step is in a file of its own; this one
// holds what passes between them, and the order in which everything is undone when a step fails.
#include "shuffle/shuffle.hpp"

#include <algorithm>
#include <chrono>
#include <memory>

#include "shuffle/bad_row_report.hpp"
#include "shuffle/cutting.hpp"
#include "shuffle/early_output.hpp"
#include "shuffle/job_plan.hpp"
#include "shuffle/job_store.hpp"
#include "shuffle/manifest.hpp"
#include "shuffle/mapper.hpp"
#include "shuffle/output_folder.hpp"
#include "shuffle/progress_bar.hpp"
#include "shuffle/worker_team.hpp"

namespace shoal::shuffling {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadBufferBytes = 1 << 20;

[[nodiscard]] double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

class Job {
public:
    Job(const ShuffleOptions& options, Interruption& interruption)
        : options_(options), interruption_(interruption), progress_(options.progress) {}

    [[nodiscard]] Outcome<ShuffleSummary> run() {
        auto folder = OutputFolder::prepare(options_.out_dir, options_.force);
        if (!folder) return passed_on(folder.error());
        for (const auto step : {&Job::open_inputs, &Job::cut, &Job::map, &Job::reduce}) {
            if (const auto done = (this->*step)(*folder); !done) return passed_on(done.error());
            if (interruption_.requested()) return passed_on(interruption_.failed().value());
        }
        progress_.clear();
        if (const auto same = check_totals(); !same) return passed_on(same.error());
        const auto listed = write_manifest(folder->fd(), options_, summary_, partitions_, results_);
        if (!listed) return passed_on(listed.error());
        if (const auto published = folder->publish(); !published) return passed_on(published.error());
        summary_.out_dir = folder->path();
        if (options_.keep_store) summary_.store_path = options_.store_path;
        return summary_;
    }

private:
    [[nodiscard]] Outcome<void> open_inputs(const OutputFolder& folder) {
        const char* temporary = std::getenv("TMPDIR");
        const std::string spool_folder = temporary != nullptr && *temporary != '\0' ? temporary : folder.parent();
        summary_.format = format_of(options_);
        summary_.workers = workers_of(options_);
        const char delimiter = delimiter_of(options_, summary_.format);
        for (const std::string& path : options_.inputs) {
            auto file = open_input(path, spool_folder, interruption_);
            if (!file) return passed_on(file.error());
            if (const auto read = read_header(*file, summary_.format, delimiter); !read) return read;
            summary_.input_bytes += file->size;
            summary_.blank_lines += file->blank_lines;
            files_.push_back(std::move(*file));
        }
        auto shape = shape_of(files_, summary_.format, delimiter, options_.by);
        if (!shape) return passed_on(shape.error());
        shape_ = std::move(*shape);
        return {};
    }

    // One mapper alone needs no cuts, so nothing is surveyed for it.
    [[nodiscard]] Outcome<void> cut(const OutputFolder&) {
        start_ = Clock::now();
        const bool alone = summary_.workers == 1 && options_.chunk_bytes == 0;
        ranges_ = cut_evenly(files_, alone ? std::max<std::uint64_t>(summary_.input_bytes, 1)
                                           : range_bytes_of(options_, summary_.input_bytes, summary_.workers));
        auto surveys = SharedArray<QuoteSurvey>::make(ranges_.size());
        if (!surveys) return passed_on(surveys.error());
        if (shape_.format == Format::kCsv && !alone) {
            const auto surveyed = run("surveyor", "cutting", summary_.input_bytes,
                                      [&](unsigned, Desk& desk) { return survey_ranges(desk, *surveys); });
            if (!surveyed) return surveyed;
        }
        return find_states(files_, ranges_, shape_, *surveys, [this] { return !interruption_.requested(); });
    }

    [[nodiscard]] Outcome<void> survey_ranges(Desk& desk, SharedArray<QuoteSurvey>& surveys) {
        std::vector<char> buffer;
        Counters& counters = counters_[0];
        for (std::uint64_t i = counters.take_task(); i < ranges_.size(); i = counters.take_task()) {
            const Range& range = ranges_[i];
            desk.busy_with.store(range.file, std::memory_order_relaxed);
            const auto found = survey(files_[range.file], range, shape_.delimiter, buffer);
            if (!found) return passed_on(found.error());
            surveys[i] = *found;
            desk.bytes_done.fetch_add(range.end - range.begin, std::memory_order_relaxed);
        }
        return {};
    }

    [[nodiscard]] Outcome<void> map(const OutputFolder& folder) {
        const std::uint64_t memory_limit_bytes = memory_limit_of(options_, files_);
        auto store = JobStore::make(options_, memory_limit_bytes);
        if (!store) return passed_on(store.error());
        store_.emplace(std::move(*store));
        const auto with_header =
            std::find_if(files_.begin(), files_.end(), [](const InputFile& file) { return !file.header.empty(); });
        row_keys_ = options_.keep_store ? RowKeys::kOwn : RowKeys::kByGeneration;
        auto output = PartitionOutput::make({folder.fd(), with_header == files_.end() ? "" : with_header->header,
                                             file_extension(summary_.format), options_.partitions, row_keys_});
        if (!output) return passed_on(output.error());
        output_.emplace(std::move(*output));
        output_->go(options_.memory_limit_bytes != 0 ? past_cache() : PartitionFile::Through::kPageCache);
        auto made = SharedArray<EarlyBoard>::make(1);
        if (!made) return passed_on(made.error());
        EarlyBoard& board = (*made)[0];
        board.meeting.expect(summary_.workers, EarlyOutput::kWriters * summary_.workers);
        const auto mapped = run("mapper", "mapping", summary_.input_bytes,
                                [&](unsigned, Desk& desk) { return map_rows(desk, board, memory_limit_bytes); });
        if (!mapped) return mapped;
        summary_.early_bytes = board.moved_bytes.load(std::memory_order_relaxed);
        generation_ = board.meeting.generation();
        if (const auto fatal = fatal_row(desks_, files_, shape_)) return passed_on(*fatal);
        for (const Desk& desk : desks_) {
            summary_.rows += desk.rows.load(std::memory_order_relaxed);
            summary_.row_bytes += desk.row_bytes;
            summary_.blank_lines += desk.blank_lines;
        }
        look_at_spilled();
        const auto reported = report_skipped(desks_, files_, shape_, summary_);
        summary_.map_seconds = seconds_since(start_);
        return reported;
    }

    [[nodiscard]] Outcome<void> map_rows(Desk& desk, EarlyBoard& board, std::uint64_t memory_limit_bytes) {
        if (const auto attached = store_->attach_in_worker(); !attached) return attached;
        auto keys = PartitionKeys::make(store_->store(), row_keys_, options_.partitions);
        if (!keys) return passed_on(keys.error());
        std::unique_ptr<EarlyOutput> early;  // none: all rows stay where they are
        if (row_keys_ == RowKeys::kByGeneration) {
            early = std::make_unique<EarlyOutput>(board, store_->store(), *output_, memory_limit_bytes);
            if (const auto started = early->start(); !started) {
                static_cast<void>(early.release());  // as below
                return started;
            }
        }
        Mapper mapper(store_->store(), std::move(*keys), options_.on_bad_row, desk, counters_[0], early.get());
        RangeReader reader(shape_, options_.read_buffer_bytes == 0 ? kReadBufferBytes : options_.read_buffer_bytes);
        const auto mapped = mapper.run(files_, ranges_, reader);
        if (mapped && early) return early->finish();
        // After an error its writers may wait for others; they end with this process, which ends now.
        static_cast<void>(early.release());
        return mapped;
    }

    [[nodiscard]] Outcome<void> reduce(const OutputFolder&) {
        start_ = Clock::now();
        auto listed = output_->partitions(store_->store(), generation_);
        if (!listed) return passed_on(listed.error());
        partitions_ = std::move(*listed);
        auto results = SharedArray<PartitionResult>::make(partitions_.size());
        if (!results) return passed_on(results.error());
        results_ = std::move(*results);
        const bool much_was_early = options_.memory_limit_bytes != 0 && summary_.early_bytes != 0;
        output_->go(summary_.spilled_bytes != 0 || much_was_early ? past_cache()
                                                                  : PartitionFile::Through::kPageCache);
        const auto written = run("reducer", "writing", summary_.row_bytes, [&](unsigned, Desk& desk) {
            return finish_partitions(store_->store(), generation_, partitions_, *output_, desk, counters_[0],
                                     results_);
        });
        summary_.reduce_seconds = seconds_since(start_);
        return written;
    }

    // Rows that are more than --memory are not to fill the machine's memory on their way out.
    [[nodiscard]] PartitionFile::Through past_cache() const noexcept {
        return options_.page_cache ? PartitionFile::Through::kPageCache : PartitionFile::Through::kDisk;
    }

    // Rows in are rows out, and every byte of them.
    [[nodiscard]] Outcome<void> check_totals() {
        std::uint64_t rows = 0;
        std::uint64_t row_bytes = 0;
        for (std::size_t i = 0; i < partitions_.size(); ++i) {
            const PartitionResult& result = results_[i];
            rows += result.rows;
            row_bytes += result.row_bytes;
            summary_.output_bytes += result.file_bytes;
            const PartitionSize size{partitions_[i].file, result.rows, result.file_bytes};
            if (i == 0 || size.rows > summary_.largest.rows) summary_.largest = size;
            if (i == 0 || size.rows < summary_.smallest.rows) summary_.smallest = size;
        }
        summary_.partitions = partitions_.size();
        if (rows == summary_.rows && row_bytes == summary_.row_bytes) return {};
        return failure(ShuffleCause::kStore,
                       fmt::format("rows in are not rows out: {} rows of {} bytes were read, {} rows of {} bytes "
                                   "written; this is a defect of shoal, please report it",
                                   summary_.rows, summary_.row_bytes, rows, row_bytes));
    }

    // A phase on fresh desks and counters, with the progress bar over it.
    template <class Work>
    [[nodiscard]] Outcome<void> run(const char* role, const char* what, std::uint64_t total_bytes, Work&& work) {
        auto desks = SharedArray<Desk>::make(summary_.workers);
        if (!desks) return passed_on(desks.error());
        auto counters = SharedArray<Counters>::make(1);
        if (!counters) return passed_on(counters.error());
        desks_ = std::move(*desks);
        counters_ = std::move(*counters);
        Phase phase;
        phase.role = role;
        phase.workers = summary_.workers;
        phase.work = [&](unsigned index) -> Outcome<void> { return work(index, desks_[index]); };
        phase.busy_with = [this](unsigned index) { return busy_with(desks_[index]); };
        if (progress_.on()) phase.tick = [this] { show_progress(); };
        progress_.begin(what, total_bytes);
        return run_phase(phase, desks_, interruption_);
    }

    [[nodiscard]] std::string busy_with(const Desk& desk) const {
        const std::uint64_t index = desk.busy_with.load(std::memory_order_relaxed);
        if (partitions_.empty()) return "reading " + (index < files_.size() ? files_[index].name : "");
        return "writing " + (index < partitions_.size() ? partitions_[index].file : "");
    }

    void show_progress() {
        std::uint64_t bytes = 0;
        std::uint64_t rows = 0;
        for (const Desk& desk : desks_) {
            bytes += desk.bytes_done.load(std::memory_order_relaxed);
            rows += desk.rows.load(std::memory_order_relaxed);
        }
        if (Clock::now() >= next_look_) look_at_spilled();
        progress_.show(bytes, rows, summary_.spilled_bytes);
    }

    // A look goes over all partitions, so that it may take no more than a twentieth of the time.
    void look_at_spilled() {
        if (!store_ || options_.spill_dir.empty()) return;
        const Clock::time_point begun = Clock::now();
        if (const auto stats = store_->store().stats()) {
            summary_.spilled_bytes = stats->spilled_bytes;
            summary_.stored_bytes = stats->stored_bytes;
        }
        next_look_ = Clock::now() + 20 * (Clock::now() - begun);
    }

    const ShuffleOptions& options_;
    Interruption& interruption_;
    ProgressBar progress_;
    ShuffleSummary summary_;
    std::vector<InputFile> files_;
    RowShape shape_;
    std::vector<Range> ranges_;
    std::optional<JobStore> store_;
    RowKeys row_keys_ = RowKeys::kOwn;
    std::optional<PartitionOutput> output_;
    std::uint64_t generation_ = 0;  // of the rows that are in the store when all are read
    SharedArray<Desk> desks_;
    SharedArray<Counters> counters_;
    std::vector<Partition> partitions_;
    SharedArray<PartitionResult> results_;
    Clock::time_point start_;
    Clock::time_point next_look_;
};

}  // namespace

tl::expected<ShuffleSummary, ShuffleError> shuffle(const ShuffleOptions& options) {
    if (const auto checked = check(options); !checked) return passed_on(checked.error());
    const auto interruption = Interruption::guard();  // goes last: a signal is raised when all else is cleaned up
    if (!interruption) return passed_on(interruption.error());
    return Job(options, **interruption).run();
}

}  // namespace shoal::shuffling
