//! `node`, and what its operator needs beside it: `config show`, `doctor`, `backup`, `revert`.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::program::Program;
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Entry, Event, SpaceSpec};
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::atomic_file::{Access, write_atomic};
use weightproof_prover::progress::Progress;
use zeroize::Zeroizing;

use crate::bars::Bars;
use crate::cli::{Backup, Config, ConfigCommand, Node, NodeSource, Revert};
use crate::config::{NodeConfig, Sources};
use crate::core::{self, Core, Stopped, start};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::judge::Judge;
use crate::keys;
use crate::observe::{exporter::Exporter, logs, metrics, traces::Traces};
use crate::output::{Output, hex, parse_hex32, utc};
use crate::rpc::context::Context;
use crate::rpc::serve::serve;
use crate::spaces;
use crate::store::{Reader, Sqlite};
use crate::transport::certificate::{self, ServerIdentity};
use crate::transport::listener::{Clients, Listener, ServerTls};
use crate::validation;

/// The node's signing key in its data folder, 64 hexadecimal digits, mode 0600.
const KEY_NAME: &str = "node.key";
/// How often time does its work: rounds end, tokens are released.
const TICK: Duration = Duration::from_millis(500);
/// How often what nobody goes on with is swept away.
const SWEEP: Duration = Duration::from_secs(60);
/// How often a request to end that came early is looked for.
const GLANCE: Duration = Duration::from_millis(200);
/// Time for requests under way when the node is asked to end.
const GRACE: Duration = Duration::from_secs(10);

fn load(source: &NodeSource) -> Result<NodeConfig, Failure> {
    let mut sources = Sources::of_process(source.config.clone());
    let named =
        [("node.data", &source.data), ("node.listen", &source.listen), ("node.metrics", &source.metrics)];
    let named = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
    sources.flags = named.chain(source.set.iter().cloned()).collect();
    NodeConfig::load(&sources).map_err(|error| Failure::Usage(error.to_string()))
}

/// Runs a node until it is asked to end.
pub fn run(arguments: &Node, output: &Output) -> Result<Exit, Failure> {
    let config = load(&arguments.source)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::write(Path::new("the runtime's threads")))?;
    let traces = {
        let _within = runtime.enter();
        config
            .log
            .traces
            .as_deref()
            .map(Traces::to)
            .transpose()
            .map_err(|error| Failure::Usage(error.to_string()))?
    };
    logs::install(config.log.format, &config.log.level, traces.as_ref())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let recorder = metrics::install().map_err(|error| Failure::Usage(error.to_string()))?;
    let specs = config.spaces.iter().map(|path| spaces::read(path)).collect::<Result<Vec<_>, _>>()?;
    prepare_folder(&config.node.data)?;
    // The store first: it locks the folder, and what is made on a first run must be made by one process.
    let mut core = open_core(&config)?;
    let identity = server_identity(&config)?;
    for spec in specs {
        ensure_space(&mut core, spec, output)?;
    }
    let begun = core.snapshot();
    for space in begun.state.spaces.values() {
        let members = space.members.len();
        output
            .line("space", format!("{}   version {}   {members} members", space.spec.name, space.version()));
    }
    if begun.state.spaces.is_empty() {
        output.line("space", "none: name space files under `spaces` in the configuration");
    }
    let judge = Arc::new(Judge::default());
    for (id, space) in &core.snapshot().state.spaces {
        if let Some(validation) = validation::open(&config.node.data, &space.spec)? {
            core.validate_with(*id, validation);
        }
        let program =
            Program::decode(&space.spec.program.0).map_err(|error| Failure::Program(error.to_string()))?;
        judge.prepare(&program, space.spec.policy.halo2)?;
    }
    let reader = core.reader()?;
    let network = core.snapshot().state.network;
    let fingerprint = identity.fingerprint();
    let clients = clients(&config)?;
    let tls = ServerTls::new(identity, clients).map_err(|error| Failure::Usage(error.to_string()))?;

    let (handle, thread) = start(core);
    let context = Context::new(
        handle.clone(),
        reader,
        judge,
        config.limits.clone(),
        config.node.origin.clone(),
        config.node.data.clone(),
    );
    let context = Arc::new(context.map_err(Failure::write(&config.node.data))?);
    let served = runtime.block_on(async {
        let unusable = |error: String| Failure::Usage(error);
        let listener = Listener::bind(config.node.listen, tls, config.limits.clone())
            .await
            .map_err(|error| unusable(error.to_string()))?;
        let exporter = Exporter::bind(config.node.metrics, recorder)
            .await
            .map_err(|error| unusable(error.to_string()))?;
        let address = listener.local_address().map_err(Failure::read(Path::new("the socket")))?;
        let metrics_address = exporter.local_address().map_err(Failure::read(Path::new("the socket")))?;
        output.line("node", format!("{}   log {}", hex(&network), config.node.origin));
        output.line("listen", format!("{address}   certificate {fingerprint}"));
        output.line("metrics", format!("{metrics_address}"));
        let exporting = tokio::spawn(exporter.serve());
        let ticking = tokio::spawn(tick(Arc::clone(&context)));
        let (failing, failed) = tokio::sync::oneshot::channel();
        // Storage that failed ends the node at once: nothing may be acknowledged any more.
        tokio::task::spawn_blocking(move || {
            let _ = failing.send(thread.join().unwrap_or_else(|_| {
                Stopped::Failed(Refusal::new(
                    ErrorCode::E505,
                    "the writer ended unexpectedly; start the node again",
                ))
            }));
        });
        let (stop, stopping) = tokio::sync::oneshot::channel();
        let stopping = async move {
            let _ = stopping.await;
        };
        let serving = tokio::spawn(serve(Arc::clone(&context), listener.incoming(), stopping, GRACE));
        let ended = tokio::select! {
            stopped = failed => stopped.unwrap_or(Stopped::Asked),
            () = asked_to_end() => Stopped::Asked,
        };
        output.line("node", "ending: requests under way are answered first, within 10 s");
        let _ = stop.send(());
        // A node whose storage failed answers nothing more.
        if ended == Stopped::Asked {
            let _ = serving.await;
        } else {
            serving.abort();
        }
        ticking.abort();
        exporting.abort();
        Ok::<Stopped, Failure>(ended)
    });
    drop((context, handle));
    drop(traces);
    runtime.shutdown_timeout(Duration::from_secs(1));
    match served? {
        Stopped::Asked => {
            output.line("node", "ended; everything acknowledged is on the disk");
            Ok(Exit::Success)
        }
        Stopped::Failed(refusal) => Err(Failure::Stopped(refusal)),
    }
}

async fn tick(context: Arc<Context>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept = tokio::time::Instant::now();
    loop {
        ticks.tick().await;
        context.handle.commands.tick();
        metrics::log_size(context.snapshot().size);
        metrics::queue_depth(context.waiting());
        metrics::watchers(context.watching());
        metrics::sample_process();
        if swept.elapsed() > SWEEP {
            swept = tokio::time::Instant::now();
            let context = Arc::clone(&context);
            let _ = tokio::task::spawn_blocking(move || context.uploads.sweep()).await;
        }
    }
}

/// Waits for an interrupt or the service manager's request, also for one that came before anybody waited: while keys and
/// generators were made ready, the handler of [`Bars`] took it.
async fn asked_to_end() {
    let bars = Bars::new();
    let before = async {
        while !bars.cancelled() {
            tokio::time::sleep(GLANCE).await;
        }
    };
    tokio::select! {
        () = signalled() => {}
        () = before => {}
    }
}

async fn signalled() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The data folder.
fn prepare_folder(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::write(folder))?;
    // Contributions on their way in, keys and a validation set are nobody else's to read.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let owner = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder, owner).map_err(Failure::write(folder))?;
    }
    Ok(())
}

fn server_identity(config: &NodeConfig) -> Result<ServerIdentity, Failure> {
    let identity = match &config.tls.files {
        Some((certificate, key)) => certificate::load(certificate, key),
        None => certificate::load_or_create(&config.node.data, &config.tls.names),
    };
    identity.map_err(|error| Failure::Usage(error.to_string()))
}

fn clients(config: &NodeConfig) -> Result<Clients, Failure> {
    let Some(path) = &config.tls.client_ca else { return Ok(Clients::Anybody) };
    let authorities = certificate::certificates(path).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(if config.tls.require_client { Clients::Required(authorities) } else { Clients::Known(authorities) })
}

/// The key that signs the log, made on the first run. `store` is the folder's: while it is open, nobody else makes one.
fn node_key(folder: &Path, store: &Sqlite) -> Result<SigningKey, Failure> {
    let path = folder.join(KEY_NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            let seed = parse_hex32(text.trim_end()).map_err(|message| {
                Failure::Key(format!("{}: {message}; restore the file from a backup", path.display()))
            })?;
            Ok(SigningKey::from_bytes(&seed))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A log that nobody can sign any more must not be begun anew over the old one.
            if store.is_begun()? {
                return Err(Failure::Key(format!(
                    "{}: expected the key that signed this folder's log, found none; restore it from a backup",
                    path.display()
                )));
            }
            let seed = keys::random()?;
            let text = Zeroizing::new(format!("{}\n", hex(&*seed)));
            write_atomic(&path, text.as_bytes(), Access::Owner).map_err(Failure::write(&path))?;
            Ok(SigningKey::from_bytes(&seed))
        }
        Err(error) => Err(Failure::read(&path)(error)),
    }
}

fn open_core(config: &NodeConfig) -> Result<Core<Sqlite>, Failure> {
    let store = Sqlite::open(&config.node.data)?;
    let key = node_key(&config.node.data, &store)?;
    let allocations: Vec<(Id, u64)> =
        config.genesis.iter().map(|(account, amount)| (*account, *amount)).collect();
    let core = Core::open(store, key, &config.node.origin, config.node.operator, &allocations, core::now())?;
    check_genesis(&core, &allocations)?;
    Ok(core)
}

/// First balances are a log's first entry: a file that names others would say what never comes to be.
fn check_genesis(core: &Core<Sqlite>, allocations: &[(Id, u64)]) -> Result<(), Failure> {
    let first =
        core.reader()?.entries(0, 1)?.pop().and_then(|(_, bytes)| Entry::decode(&bytes, "entry").ok());
    match first.map(|entry| entry.event) {
        Some(Event::Genesis { allocations: begun, .. }) if !allocations.is_empty() && begun != allocations => {
            Err(Failure::Usage(
                "genesis.allocations: expected those that the log began with, found others; they count at the first start alone: use `weightproof transfer`, or leave the section as it was"
                    .to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

/// Opens a space of the configuration that the node does not have yet. One that it has must be the same.
fn ensure_space(core: &mut Core<Sqlite>, spec: SpaceSpec, output: &Output) -> Result<(), Failure> {
    let snapshot = core.snapshot();
    if check_space(&snapshot, &spec)? {
        return Ok(());
    }
    let name = spec.name.clone();
    let id = core.create_space(spec, core::now()).map_err(Failure::Stopped)?;
    output.line("space", format!("{name}   {}   opened", hex(&id)));
    Ok(())
}

/// Whether a node has a space already; one of the same name must be the same.
fn check_space(snapshot: &core::Snapshot, spec: &SpaceSpec) -> Result<bool, Failure> {
    match snapshot.state.spaces.values().find(|space| space.spec.name == spec.name) {
        Some(space) if *space.spec == *spec => Ok(true),
        Some(_) => Err(Failure::Usage(format!(
            "space {}: expected the file that it was opened with, found another; a space's rules never change: open one under a new name",
            spec.name
        ))),
        None => Ok(false),
    }
}

/// Prints the configuration.
pub fn config(arguments: &Config, output: &Output) -> Result<Exit, Failure> {
    let ConfigCommand::Show(source) = &arguments.command;
    output.result(&load(source)?.show())?;
    Ok(Exit::Success)
}

/// Looks for what would keep a node from running well, and says what to do about each thing.
pub fn doctor(source: &NodeSource, output: &Output) -> Result<Exit, Failure> {
    let config = load(source)?;
    output.line("config", "ok");
    let mut wrong = 0;
    let mut check = |topic: &str, result: Result<String, String>| match result {
        Ok(text) => output.line(topic, format!("ok   {text}")),
        Err(text) => {
            wrong += 1;
            output.line(topic, format!("WRONG   {text}"));
        }
    };
    let folder = &config.node.data;
    check("folder", writable(folder));
    check("disk", free_space(folder));
    for path in &config.spaces {
        let read = spaces::read(path).map(|spec| format!("{} in {}", spec.name, path.display()));
        check("space", read.map_err(|error| error.to_string()));
    }
    let identity = match &config.tls.files {
        Some((file, key)) => certificate::load(file, key).map(|found| found.fingerprint().to_string()),
        None if folder.join("tls-cert.pem").exists() => {
            certificate::load_or_create(folder, &config.tls.names)
                .map(|found| found.fingerprint().to_string())
        }
        None => Ok("made on the first run".to_owned()),
    };
    check("tls", identity.map_err(|error| error.to_string()));
    for (topic, address) in [("listen", config.node.listen), ("metrics", config.node.metrics)] {
        let bound = std::net::TcpListener::bind(address);
        check(
            topic,
            bound.map(|_| address.to_string()).map_err(|error| {
                format!("expected to listen on {address}, found: {error}; is the node running already?")
            }),
        );
    }
    if let Some(found) = crate::observe::process::open_files_limit() {
        let needed = config.limits.open_files();
        let text = format!("{found} open files allowed");
        let few = format!(
            "expected at least {needed} open files for limits.max_connections, found {found}; raise ulimit -n"
        );
        check("files", if found >= needed { Ok(text) } else { Err(few) });
    }
    let clock = core::now();
    // No older than this software.
    check(
        "clock",
        if clock > 1_760_000_000 {
            Ok(utc(clock))
        } else {
            Err(format!("expected a clock that is set, found {clock} s since 1970; set it"))
        },
    );
    check("log", stored_log(&config).map_err(|error| error.to_string()));
    if wrong == 0 {
        Ok(Exit::Success)
    } else {
        Err(Failure::Usage(format!("expected nothing wrong, found {wrong}; see the lines above")))
    }
}

/// Plays the log again, if there is one. One that is not begun stays so: its first entry is the node's to write.
fn stored_log(config: &NodeConfig) -> Result<String, Failure> {
    let database = config.node.data.join(crate::store::DATABASE);
    if !database.exists() || Reader::open(&database)?.entries(0, 1).is_ok_and(|entries| entries.is_empty()) {
        return Ok("begun on the first run".to_owned());
    }
    let core = open_core(config)?;
    for path in &config.spaces {
        let spec = spaces::read(path)?;
        check_space(&core.snapshot(), &spec)?;
    }
    Ok(format!("{} entries, as signed", core.snapshot().size))
}

fn writable(folder: &Path) -> Result<String, String> {
    let probe = folder.join(".doctor");
    let tried = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b"probe"))
        .and_then(|()| std::fs::remove_file(&probe));
    tried.map(|()| folder.display().to_string()).map_err(|error| {
        format!("expected to write in {}, found: {error}; check its owner and the disk", folder.display())
    })
}

fn free_space(folder: &Path) -> Result<String, String> {
    // Without a library for it, the system's own tool is asked; where there is none, nothing is known and nothing wrong.
    let asked = std::process::Command::new("df").arg("-Pk").arg(folder).output();
    let free = asked.ok().and_then(|answer| {
        let text = String::from_utf8(answer.stdout).ok()?;
        text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    match free {
        Some(kib) if kib < 1 << 20 => {
            Err(format!("expected at least 1 GiB free, found {}; free some", crate::output::size(kib << 10)))
        }
        Some(kib) => Ok(format!("{} free", crate::output::size(kib << 10))),
        None => Ok("not known on this system".to_owned()),
    }
}

/// Copies database, key, certificate and validation sets to a new folder; the node may run meanwhile.
pub fn backup(arguments: &Backup, output: &Output) -> Result<Exit, Failure> {
    let (from, to) = (&arguments.data, &arguments.out);
    let database = from.join(crate::store::DATABASE);
    if !database.exists() {
        return Err(Failure::Usage(format!(
            "{}: expected a node's data folder, found no database in it",
            from.display()
        )));
    }
    if to.symlink_metadata().is_ok() {
        return Err(Failure::Usage(format!(
            "{}: expected a new folder, found one that exists; choose another --out",
            to.display()
        )));
    }
    std::fs::create_dir(to).map_err(Failure::write(to))?;
    prepare_folder(to)?;
    let reader = Reader::open(&database)?;
    let copy = to.join(crate::store::DATABASE);
    reader.backup(&copy)?;
    std::fs::File::open(&copy).and_then(|file| file.sync_all()).map_err(Failure::write(&copy))?;
    let mut names = vec![
        (KEY_NAME.to_owned(), Access::Owner),
        (certificate::CERTIFICATE_FILE.to_owned(), Access::Shared),
        (certificate::KEY_FILE.to_owned(), Access::Owner),
    ];
    names.extend(validation::files(from)?.into_iter().map(|name| (name, Access::Owner)));
    for (name, access) in names {
        let path = from.join(&name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                let copy = to.join(&name);
                let parent = copy.parent().unwrap_or(to);
                std::fs::create_dir_all(parent).map_err(Failure::write(parent))?;
                write_atomic(&copy, &bytes, access).map_err(Failure::write(&copy))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::read(&path)(error)),
        }
    }
    output.line("backup", format!("{}   holds the node's key: keep it as safe as the node", to.display()));
    Ok(Exit::Success)
}

/// Takes a space's model back.
pub fn revert(arguments: &Revert, output: &Output) -> Result<Exit, Failure> {
    let config = load(&arguments.source)?;
    let mut core = open_core(&config)?;
    let snapshot = core.snapshot();
    let space = snapshot.state.spaces.iter().find(|(_, space)| space.spec.name == arguments.space);
    let Some((id, _)) = space else {
        return Err(Failure::Usage(format!("expected a space of this node, found `{}`", arguments.space)));
    };
    if let Some(round) = snapshot.state.spaces.get(id).and_then(|space| space.open_round())
        && round.closes > core::now()
        && round.admitted.len() != round.accepted.len() + round.forfeited.len()
    {
        return Err(Failure::Usage(format!(
            "expected no open round, found round {}, open until {}; keep the node stopped until then and say it again",
            round.number,
            utc(round.closes)
        )));
    }
    let logged = core
        .revert(*id, arguments.version, arguments.reason.clone(), core::now())
        .map_err(|refusal| Failure::Usage(refusal.to_string()))?;
    output.line(
        "revert",
        format!(
            "{} has the integers of version {}   entry {}",
            arguments.space, arguments.version, logged.entry
        ),
    );
    Ok(Exit::Success)
}
