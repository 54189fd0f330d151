//! Figures, not assertions: the rate of the bare verifier, of a node with a crowd of watchers, and of its honest clients under
//! a flood. `cargo test --release -p weightproof-node --test cluster -- --ignored --nocapture figures`
//!
//! The clients share the machine with the node, so both the rate as it was and the node's own processor time are printed.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::harness::*;
use super::floods::{Copier, Flood};
use super::strangers::{channel, peer};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::policy::Policy;
use weightproof_node::rpc::v1;
use weightproof_node::rpc::v1::contributions_service_client::ContributionsServiceClient;
use weightproof_node::rpc::v1::rounds_service_client::RoundsServiceClient;
use weightproof_prover::data::Examples;
use weightproof_prover::progress::Silent;
use weightproof_prover::{CommittedDataset, Committer, Job, Seal, contribute, cpu, derive_generators};
use weightproof_verifier::{Keys, generator_counts, verify_with};

/// The size of the default program for the breast-cancer table, with a rate that many summed updates leave in range.
const PROGRAM: &str = r#"
[model]
layers = [30, 32, 2]
activation = "relu"
loss = "softmax-cross-entropy"
[arithmetic]
activation_bits = 8
error_bits = 10
[optimizer]
learning_rate = 0.015625
[contribution]
steps = 16
batch = 32
"#;
/// Rows of each holder.
const ROWS: usize = 455;
/// Members of the space who copy instead of training.
const COPIERS: usize = 4;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

fn spec(members: u32) -> SpaceSpec {
    let columns: Vec<String> = (0..30)
        .map(|column| {
            format!(r#"{{"name":"c{column}","kind":{{"numeric":{{"mean":0.0,"deviation":1.0}}}}}}"#)
        })
        .collect();
    let schema = format!(
        r#"{{"columns":[{}],"label":{{"name":"y","target":{{"classes":{{"classes":["no","yes"]}}}}}},"activation_bits":8}}"#,
        columns.join(",")
    );
    let policy = Policy { emission: 1 << 40, ..policy(members) };
    SpaceSpec {
        name: "load".to_owned(),
        program: Bytes(Program::parse(PROGRAM).unwrap().encode()),
        seed: [7; 32],
        schema: Bytes(schema.into_bytes()),
        validation: None,
        policy,
    }
}

/// Seeded rows within ±0.25, so that no value leaves its range.
fn rows(seed: u64) -> Examples {
    let mut state = 0x5eed ^ seed;
    let mut draw = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let features = (0..ROWS * 30).map(|_| draw(128) as i16 - 64).collect();
    let labels = (0..ROWS).flat_map(|_| if draw(2) == 0 { [1, 0] } else { [0, 1] }).collect();
    Examples { inputs: 30, outputs: 2, features, labels }
}

/// What was used meanwhile.
struct Meter {
    begun: Instant,
    node: f64,
    own: f64,
}

impl Meter {
    fn new(node: &Node) -> Meter {
        Meter { begun: Instant::now(), node: node.processor(), own: processor("self") }
    }

    /// Seconds, the node's processor seconds, this process's.
    fn read(&self, node: &Node) -> (f64, f64, f64) {
        (self.begun.elapsed().as_secs_f64(), node.processor() - self.node, processor("self") - self.own)
    }
}

#[test]
#[ignore = "prints figures, takes minutes"]
fn figures() {
    let (count, watchers) = (number("LOAD_HOLDERS", 48), number("LOAD_WATCHERS", 1000));
    let members = count + COPIERS;
    let program = Program::parse(PROGRAM).unwrap();
    let layout = Layout::new(&program);
    let (generator_rows, messages) = generator_counts(&Layout::new(&program).masked(), &program);
    let generators = derive_generators(generator_rows, messages);
    let mut holders: Vec<Holder> = (1..=members)
        .map(|number| {
            let committer = Committer::new(&generators);
            let dataset =
                CommittedDataset::commit(rows(number as u64), &layout, &committer, &[number as u8], &Silent);
            Holder::with(number as u8, Arc::new(dataset.unwrap()))
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let allocations: Vec<_> = holders.iter().map(|holder| (holder.account(), 10_000)).collect();
    let mut node = Node::new(folder.path(), &spec(members as u32), &allocations);
    node.set("limits.request_deadline", "10 s");
    node.start();
    run(async {
        let own = channel(&node.address, peer(0, 1)).await.unwrap();
        let network = network(&own).await.unwrap();
        for holder in &mut holders {
            holder.enter(&own, 1_000).await.unwrap();
        }
        let prove = |task: &Task| -> Vec<File> {
            let began = Instant::now();
            let files = holders.iter().map(|holder| {
                let job = Job {
                    program: &program,
                    base: &task.base,
                    model_version: task.round.model_version,
                    dataset: &holder.dataset,
                    space: holder.space,
                    round: task.round.number,
                    beacon: task.round.beacon.to_vec().try_into().unwrap(),
                    contributor: holder.account(),
                    payout: Vec::new(),
                    secret: &[],
                    seal: Seal::Sigma,
                    kernels: cpu(),
                };
                let made = contribute(&job, &Committer::new(&generators), &Silent).unwrap();
                File { bytes: made.bytes, statement: made.statement }
            });
            let files: Vec<File> = files.collect();
            println!(
                "proved {} in {:.1} s; a file has {} bytes",
                files.len(),
                began.elapsed().as_secs_f64(),
                files[0].bytes.len()
            );
            files
        };
        let mut channels = Vec::new();
        for number in 0..members {
            channels.push(channel(&node.address, peer(10, number as u8 + 1)).await.unwrap());
        }
        let task = holders[0].next_task(&own, 0).await.unwrap();
        let files = prove(&task);
        bare(&files[..count], &task.base, &generators);

        // Without watchers.
        let everybody = Party { holders: &holders, channels: &channels, network: &network, count };
        let alone = everybody.submit(&node, "node alone", &files, None).await;
        everybody.finish(&files).await;

        // With watchers.
        let seen = Arc::new(AtomicU64::new(0));
        let mut crowd = watch(&node, watchers, holders[0].space, &seen).await;
        let meter = Meter::new(&node);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (time, used, _) = meter.read(&node);
        println!(
            "{watchers} watchers and nothing to tell: {:.1} % of a core, {} MiB resident",
            used / time * 100.0,
            node.resident() >> 20
        );
        let task = holders[0].next_task(&own, task.round.number).await.unwrap();
        let files = prove(&task);
        let before = seen.load(Ordering::Relaxed);
        everybody.submit(&node, "node with watchers", &files, None).await;
        everybody.finish(&files).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!(
            "verdicts seen by watchers: {} of {}",
            seen.load(Ordering::Relaxed) - before,
            watchers * members
        );

        // The honest at half of that rate, and then the same under ten times as many hostile requests.
        let pace = Duration::from_secs_f64(2.0 / alone);
        let task = holders[0].next_task(&own, task.round.number).await.unwrap();
        let files = prove(&task);
        everybody.submit(&node, "half that rate", &files, Some(pace)).await;
        everybody.finish(&files).await;
        let mut last = task.round.number;
        let floods = [("half that rate, under flood", Some(pace)), ("full rate, under flood", None)];
        for (what, pace) in floods.into_iter().take(number("LOAD_FLOODS", 2)) {
            let task = holders[0].next_task(&own, last).await.unwrap();
            last = task.round.number;
            let files = prove(&task);
            // Two honest requests a contribution; eight sources and the copiers, whose every turn is two requests.
            let sources = 8.0 + 2.0 * COPIERS as f64;
            let flood =
                Flood::new(&node.address, &network, Duration::from_secs_f64(sources / (10.0 * 2.0 * alone)));
            let copiers = holders[count..].iter().map(|holder| {
                let mut file = files[0].clone();
                file.statement.contributor = holder.account();
                file.statement.dataset_root = holder.dataset.root();
                Copier { key: holder.key.clone(), file }
            });
            let flooding = tokio::spawn(flood.clone().run(copiers.collect()));
            tokio::time::sleep(Duration::from_secs(5)).await;
            everybody.submit(&node, what, &files, pace).await;
            println!(
                "  {:?}; {} MiB resident, {} MiB at most",
                flood.tally,
                node.resident() >> 20,
                node.memory("VmHWM:") >> 20
            );
            flood.stop();
            let ended = Instant::now();
            // The first honest one after the flood.
            everybody.finish(&files).await;
            println!(
                "  {COPIERS} contributions accepted within {:.2} s of its end",
                ended.elapsed().as_secs_f64()
            );
            flooding.await.unwrap();
        }
        println!("watchers still connected: {}", crowd.len());
        crowd.shutdown().await;
    });
    assert_eq!(node.stop(), Some(0));
}

/// Two threads that verify, as the node's two do.
fn bare(files: &[File], base: &Parameters, generators: &weightproof_circuits::curve::Generators) {
    for round in 0..2 {
        let next = AtomicUsize::new(0);
        let (began, used) = (Instant::now(), processor("self"));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        verify_with(&file.bytes, base, Keys { generators, halo2: &[] }).unwrap();
                    }
                });
            }
        });
        if round > 0 {
            let (time, used) = (began.elapsed().as_secs_f64(), processor("self") - used);
            println!(
                "bare verifier: {:.1} a second, {:.1} ms of processor each",
                files.len() as f64 / time,
                used / files.len() as f64 * 1000.0
            );
        }
    }
}

struct Party<'a> {
    holders: &'a [Holder],
    channels: &'a [Channel],
    network: &'a [u8],
    count: usize,
}

impl Party<'_> {
    /// Submits the honest holders' files, eight at a time or one each `pace`, and gives the rate.
    async fn submit(&self, node: &Node, what: &str, files: &[File], pace: Option<Duration>) -> f64 {
        let meter = Meter::new(node);
        let places = Arc::new(tokio::sync::Semaphore::new(8));
        let mut under_way = JoinSet::new();
        let mut ticks = pace.map(tokio::time::interval);
        for (index, file) in files.iter().take(self.count).enumerate() {
            let place = match &mut ticks {
                Some(ticks) => {
                    ticks.tick().await;
                    None
                }
                None => Some(Arc::clone(&places).acquire_owned().await.unwrap()),
            };
            let (channel, key) = (self.channels[index].clone(), self.holders[index].key.clone());
            let (network, file) = (self.network.to_vec(), file.clone());
            under_way.spawn(async move {
                let _place = place;
                let began = Instant::now();
                let mut tries = 1;
                // What may pass is tried again, as any client does.
                loop {
                    match submit(&channel, &key, &network, &file, &file.bytes).await {
                        Ok(verdict) if verdict.accepted => break (began.elapsed(), tries),
                        other => assert!(tries < 50, "{other:?}"),
                    }
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
        let (mut times, mut tries) = (Vec::new(), 0);
        while let Some(done) = under_way.join_next().await {
            let (time, tried) = done.unwrap();
            times.push(time.as_secs_f64() * 1000.0);
            tries += tried;
        }
        let (time, node_used, own_used) = meter.read(node);
        times.sort_by(f64::total_cmp);
        let each = |used: f64| used / self.count as f64 * 1000.0;
        println!(
            "{what}: {:.1} a second; processor ms each: node {:.1}, clients {:.1}; both together {:.0} % of two cores; answered \
             in {:.0} ms (median), {:.0} ms (slowest); {tries} tries for {}; a node with two cores to itself: {:.1} a second",
            self.count as f64 / time,
            each(node_used),
            each(own_used),
            (node_used + own_used) / time / 2.0 * 100.0,
            times[times.len() / 2],
            times[times.len() - 1],
            self.count,
            2000.0 / each(node_used),
        );
        self.count as f64 / time
    }

    /// The others' files, so that the round ends.
    async fn finish(&self, files: &[File]) {
        for (index, file) in files.iter().enumerate().skip(self.count) {
            let mut tries = 0;
            loop {
                match self.holders[index].submit(&self.channels[index], self.network, file).await {
                    Ok(verdict) if verdict.accepted => break,
                    other => assert!(tries < 50, "{other:?}"),
                }
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection with both streams for each watcher, from ten addresses.
async fn watch(node: &Node, count: usize, space: [u8; 32], seen: &Arc<AtomicU64>) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    let (ready, mut readiness) = tokio::sync::mpsc::channel(count.max(1));
    for number in 0..count {
        let (address, ready, seen) = (node.address.clone(), ready.clone(), Arc::clone(seen));
        crowd.spawn(async move {
            let channel = channel(&address, peer(1, (number % 10) as u8 + 1)).await.unwrap();
            let all = v1::WatchVerdictsRequest { space: space.to_vec().into() };
            let mut verdicts = ContributionsServiceClient::new(channel.clone())
                .watch_verdicts(all)
                .await
                .unwrap()
                .into_inner();
            let request = v1::WatchRoundsRequest { space: space.to_vec().into() };
            let mut rounds =
                RoundsServiceClient::new(channel).watch_rounds(request).await.unwrap().into_inner();
            ready.send(()).await.unwrap();
            let counting = async {
                while let Some(verdict) = verdicts.message().await.unwrap() {
                    let accepted = verdict.verdicts.iter().filter(|verdict| verdict.accepted).count();
                    seen.fetch_add(accepted as u64, Ordering::Relaxed);
                }
            };
            let reading = async { while rounds.message().await.unwrap().is_some() {} };
            tokio::join!(counting, reading);
        });
    }
    for _ in 0..count {
        readiness.recv().await.unwrap();
    }
    crowd
}
