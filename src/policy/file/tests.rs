//! What is wrong with a file, and where: `file:line:column: field: message`.

use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

const GOOD: &str = r#"apiVersion: paramedic.dev/v1alpha1
kind: RemediationPolicy
metadata:
  name: restart-cart
  namespace: shop
spec:
  mode: Enforce
  match:
    - alertname="MemoryLeak"
  target:
    kind: Pod
  steps:
    - restartPod:
        method: Evict
      verify:
        within: 3m
  limits:
    cooldown: 10m
    rate: {actions: 5, per: 1h}
    minAvailable: 50%
"#;

/// A directory of its own, which is removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("paramedic-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, name: &str, text: &str) -> Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn check(&self) -> (Vec<String>, Vec<String>) {
        let (policies, problems) = check(std::slice::from_ref(&self.0));
        let within = |problem: &FileProblem| problem.to_string().replace(&format!("{}/", self.0.display()), "");
        let names = policies.iter().map(|policy| policy.reference.to_string()).collect();
        (names, problems.iter().map(within).collect())
    }

    fn problems(&self) -> Vec<String> {
        self.check().1
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn problem(text: &str) -> String {
    let (policies, mut problems) = Folder::new().with("p.yaml", text).check();
    assert_eq!((policies.len(), problems.len()), (0, 1), "{text}\n{problems:?}");
    problems.remove(0)
}

#[test]
fn a_good_policy_is_read_with_its_defaults() {
    let folder = Folder::new().with("p.yaml", GOOD);
    let policies = load(std::slice::from_ref(&folder.0)).unwrap();
    let [policy] = &policies[..] else { panic!("{policies:?}") };
    assert_eq!(
        (policy.reference.to_string().as_str(), &policy.namespaces[..]),
        ("shop/restart-cart", &["shop".into()][..])
    );
    assert_eq!(policy.limits.concurrency, 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn every_mistake_is_named_with_its_place() {
    let cluster = ("kind: RemediationPolicy", "kind: ClusterRemediationPolicy");
    let table: &[(&[(&str, &str)], &str)] = &[
        (
            &[("      verify:", "      verfiy:")],
            "p.yaml:15:7: spec.steps[0].verfiy: there is no field `verfiy`; did you mean `verify`?",
        ),
        (&[("  limits:", "  limit:")], "p.yaml:17:3: spec.limit: there is no field `limit`; did you mean `limits`?"),
        (
            &[("    cooldown: 10m", "    cooldown: 10 minutes")],
            "p.yaml:18:15: spec.limits.cooldown: `10 minutes` is not a duration such as 30s or 1h30m: ` minutes` is no unit; write ns, us, ms, s, m or h",
        ),
        (
            &[("    cooldown: 10m", "    cooldown: 25h")],
            "p.yaml:18:15: spec.limits.cooldown: `25h` is longer than the 24h that a limit may span",
        ),
        (
            &[("    cooldown: 10m", "    cooldown: 0s")],
            "p.yaml:18:15: spec.limits.cooldown: `0s` must be more than zero",
        ),
        (
            &[("    cooldown: 10m", "    concurrency: 0")],
            "p.yaml:18:18: spec.limits.concurrency: must be more than zero",
        ),
        (&[("actions: 5", "actions: 0")], "p.yaml:19:21: spec.limits.rate.actions: must be more than zero"),
        (
            &[("minAvailable: 50%", "minAvailable: 0%")],
            "p.yaml:20:19: spec.limits.minAvailable: `0%` is neither a number above 0 nor a percentage from 1% to 100%",
        ),
        (
            &[("minAvailable: 50%", "minAvailable: -1")],
            "p.yaml:20:19: spec.limits.minAvailable: `-1` is neither a number above 0 nor a percentage from 1% to 100%",
        ),
        (
            &[("        method: Evict", "        gracePeriod: 99999999999999999999h")],
            "p.yaml:14:22: spec.steps[0].restartPod.gracePeriod: `99999999999999999999h` is longer than a century",
        ),
        (
            &[("        method: Evict", "        method: Evict\n      rolloutRestart: {}")],
            "p.yaml:13:7: spec.steps[0]: a step has exactly one action: restartPod or rolloutRestart",
        ),
        (
            &[("        method: Evict", "        method: Evictt")],
            "p.yaml:14:17: spec.steps[0].restartPod.method: `Evictt` is none of Evict, Delete; did you mean `Evict`?",
        ),
        (
            &[("        within: 3m", "        within: 30s")],
            "p.yaml:13:7: spec.steps[0]: verify.stableFor is longer than verify.within, so the step could never succeed",
        ),
        (
            &[("alertname=\"MemoryLeak\"", "alertname=~\"(\"")],
            "p.yaml:9:7: spec.match[0]: `(` is not a regular expression: unclosed group",
        ),
        (
            &[("alertname=\"MemoryLeak\"", "alertname")],
            r#"p.yaml:9:7: spec.match[0]: `alertname` is not a matcher; write it as Alertmanager does, for example alertname="HighMemory""#,
        ),
        (
            &[("alertname=\"MemoryLeak\"", "team!=\"red\"")],
            r#"p.yaml:8:3: spec.match must have at least one matcher that an absent label does not satisfy, such as alertname="…""#,
        ),
        (
            &[("  mode: Enforce", "  mode: enforce")],
            "p.yaml:7:9: spec.mode: `enforce` is none of Disabled, DryRun, RequireApproval, Enforce; did you mean `Enforce`?",
        ),
        (
            &[("    kind: Pod", "    kind: Pods")],
            "p.yaml:11:11: spec.target.kind: `Pods` is none of Pod, Deployment, StatefulSet, DaemonSet; did you mean `Pod`?",
        ),
        (
            &[("    kind: Pod", "    kind: Deployment")],
            "p.yaml:12:3: spec.steps[0]: restartPod needs target.kind Pod, not Deployment; rolloutRestart restarts a Deployment",
        ),
        (
            &[("kind: RemediationPolicy", "kind: RemediationPolcy")],
            "p.yaml:2:1: `RemediationPolcy` is no kind of policy; did you mean `RemediationPolicy`?",
        ),
        (&[("kind: RemediationPolicy", "kind: ConfigMap")], "p.yaml:2:1: `ConfigMap` is no kind of policy"),
        (&[("v1alpha1", "v1")], "p.yaml:1:1: `paramedic.dev/v1` is not paramedic.dev/v1alpha1"),
        (&[("apiVersion: paramedic.dev/v1alpha1\n", "")], "p.yaml:5:1: missing field `apiVersion`"),
        (
            &[("  namespace: shop\n", "")],
            "p.yaml:3:1: metadata.namespace is missing: a RemediationPolicy acts in its own namespace only",
        ),
        (&[("  name: restart-cart\n", "")], "p.yaml:3:1: metadata.name is missing"),
        (
            &[("name: restart-cart", "name: Restart_Cart")],
            "p.yaml:4:3: metadata.name: `Restart_Cart` is no name that Kubernetes takes: lower-case letters, digits and `-`, in parts joined by `.`, beginning and ending with a letter or a digit, 253 characters at most",
        ),
        (&[("spec:\n", "foo: bar\nspec:\n")], "p.yaml:6:1: foo: there is no field `foo`"),
        (&[cluster], "p.yaml:17:3: spec: missing field `namespaces`"),
        (
            &[cluster, ("  mode: Enforce", "  namespaces: [shop]")],
            "p.yaml:3:1: metadata.namespace is set, but a ClusterRemediationPolicy has none; it lists spec.namespaces",
        ),
        (
            &[cluster, ("  namespace: shop\n", ""), ("  mode: Enforce", "  namespaces: [\"*\", shop]")],
            r#"p.yaml:6:3: spec.namespaces must list namespaces by name, or be ["*"] alone"#,
        ),
        (
            &[("  mode: Enforce", "  mode: Enforce\n  mode: DryRun")],
            "p.yaml:8:3: spec: duplicate mapping key: mode not allowed here",
        ),
        (&[("  match:", " match:")], "p.yaml:8:2: while parsing a block mapping, did not find expected key"),
    ];
    let mut wrong = Vec::new();
    for (changes, expected) in table {
        let mut text = GOOD.to_owned();
        for (from, to) in *changes {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, to);
        }
        let actual = problem(&text);
        if actual != *expected {
            wrong.push(format!("{changes:?}\n  {actual}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// ---- several documents, several files

#[test]
fn a_mistake_in_the_second_document_has_the_line_of_the_file_and_the_first_is_still_read() {
    let second = GOOD.replace("restart-cart", "restart-till").replace("method: Evict", "methode: Evict");
    let folder = Folder::new().with("p.yaml", &format!("# two policies\n---\n{GOOD}--- # the second\n{second}"));
    let (good, problems) = folder.check();
    assert_eq!(good, ["shop/restart-cart"]);
    let line = 2 + 20 + 1 + 14;
    assert_eq!(
        problems,
        [format!(
            "p.yaml:{line}:9: spec.steps[0].restartPod.methode: there is no field `methode`; did you mean `method`?"
        )]
    );
}

#[test]
fn every_document_has_its_own_mistake_and_one_refuses_the_whole() {
    let bad = |name: &str| GOOD.replace("restart-cart", name).replace("Enforce", "Enfroce");
    let folder = Folder::new().with("p.yaml", &format!("{}---\n{}", bad("one"), bad("two"))).with("q.yaml", GOOD);
    let (good, problems) = folder.check();
    assert_eq!((good.len(), problems.len()), (1, 2));
    assert!(problems[0].starts_with("p.yaml:7:9: spec.mode:"), "{problems:?}");
    assert!(problems[1].starts_with("p.yaml:28:9: spec.mode:"), "{problems:?}");
    assert_eq!(load(std::slice::from_ref(&folder.0)).unwrap_err().len(), 2, "never a set in part");
}

#[test]
fn empty_documents_and_comments_are_nothing() {
    for text in ["", "\n", "---\n", "# only a comment\n---\n---\n# and another\n...\n"] {
        assert_eq!(Folder::new().with("p.yaml", text).check(), (vec![], vec![]), "{text:?}");
    }
    let wrapped = format!("---\n---\n{GOOD}---\n# the end\n");
    assert_eq!(Folder::new().with("p.yaml", &wrapped).check().0, ["shop/restart-cart"]);
    let windows = GOOD.replace('\n', "\r\n");
    assert_eq!(Folder::new().with("p.yaml", &windows).check().0, ["shop/restart-cart"]);
}

#[test]
fn what_stands_on_the_line_of_a_separator_is_read() {
    let inline = format!("--- {}\n", json());
    assert_eq!(Folder::new().with("p.yaml", &inline).check(), (vec!["shop/restart-cart".to_owned()], vec![]));
    let wrong = format!("--- {}\n", json().replace("Evict", "Evcit"));
    let problems = Folder::new().with("p.yaml", &wrong).problems();
    assert!(problems[0].contains(": spec.steps[0].restartPod.method: `Evcit` is none of"), "{problems:?}");
    assert!(problems[0].starts_with("p.yaml:1:"), "{problems:?}");
}

#[test]
fn a_policy_that_is_in_two_files_is_named_with_both() {
    let folder = Folder::new().with("a.yaml", GOOD).with("b.yaml", GOOD);
    let first = folder.0.join("a.yaml");
    assert_eq!(
        folder.problems(),
        [format!("b.yaml: shop/restart-cart is already in {}", first.display())
            .replace(&format!("{}/", folder.0.display()), "")]
    );
    let elsewhere = GOOD.replace("namespace: shop", "namespace: till");
    assert_eq!(Folder::new().with("a.yaml", GOOD).with("b.yaml", &elsewhere).problems(), Vec::<String>::new());
}

fn json() -> String {
    let step = r#"{"restartPod":{"method":"Evict"}}"#;
    format!(
        r#"{{"apiVersion":"paramedic.dev/v1alpha1","kind":"RemediationPolicy","metadata":{{"name":"restart-cart","namespace":"shop"}},"spec":{{"match":["alertname=\"A\""],"target":{{"kind":"Pod"}},"steps":[{step}]}}}}"#
    )
}

#[test]
fn a_json_file_is_read_and_its_mistakes_have_a_place_too() {
    assert_eq!(Folder::new().with("p.json", &json()).check().0, ["shop/restart-cart"]);
    let pretty = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    let misspelt = pretty(&json().replace("restartPod", "restartPods"));
    let line = misspelt.lines().position(|line| line.contains("restartPods")).unwrap() + 1;
    let problems = Folder::new().with("p.json", &misspelt).problems();
    let text = "spec.steps[0].restartPods: there is no field `restartPods`; did you mean `restartPod`?";
    assert_eq!(problems, [format!("p.json:{line}:9: {text}")]);
    let kind = Folder::new().with("p.json", &pretty(&json().replace("RemediationPolicy", "Policy"))).problems();
    assert!(kind[0].starts_with("p.json:3:3: `Policy` is no kind of policy"), "{kind:?}");
}

// ---- directories

#[test]
fn directories_are_read_whole_in_order_but_for_what_is_hidden_or_no_policy_file() {
    let named = |name: &str| GOOD.replace("restart-cart", name);
    let folder = Folder::new()
        .with("b.yml", &named("b"))
        .with("a.yaml", &named("a"))
        .with("deeper/c.yaml", &named("c"))
        .with(".hidden.yaml", "not: [yaml")
        .with(".git/config.yaml", "not: [yaml")
        .with("README.md", "# not a policy");
    assert_eq!(folder.check(), (["shop/a", "shop/b", "shop/c"].map(str::to_owned).to_vec(), vec![]));
}

#[test]
fn a_config_maps_mount_is_read_once() {
    let folder = Folder::new().with("..2026_11_21_09_00_00.1/p.yaml", GOOD);
    symlink("..2026_11_21_09_00_00.1", folder.0.join("..data")).unwrap();
    symlink("..data/p.yaml", folder.0.join("p.yaml")).unwrap();
    assert_eq!(folder.check(), (vec!["shop/restart-cart".to_owned()], vec![]));

    // The kubelet turns the one link `..data`; what was read before is gone, what is new is read.
    let folder = folder.with("..2026_11_21_10_00_00.2/p.yaml", &GOOD.replace("restart-cart", "renamed"));
    fs::remove_file(folder.0.join("..data")).unwrap();
    symlink("..2026_11_21_10_00_00.2", folder.0.join("..data")).unwrap();
    assert_eq!(folder.check().0, ["shop/renamed"]);
}

#[test]
fn what_cannot_be_read_is_a_problem_and_not_an_empty_set() {
    let folder = Folder::new().with("a.yaml", GOOD);
    symlink("nowhere.yaml", folder.0.join("b.yaml")).unwrap();
    assert!(load(std::slice::from_ref(&folder.0)).is_err());
    let missing = load(&[folder.0.join("missing")]).unwrap_err();
    assert!(missing[0].to_string().contains("missing: cannot be read: "), "{missing:?}");
    let not_text = Folder::new();
    fs::write(not_text.0.join("a.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(not_text.problems()[0].starts_with("a.yaml: cannot be read: "));
}

#[test]
fn contents_change_with_what_is_read_and_with_nothing_else() {
    let folder = Folder::new().with("a.yaml", GOOD);
    let now = || Contents::of(std::slice::from_ref(&folder.0));
    let first = now();
    fs::write(folder.0.join("a.yaml"), GOOD).unwrap();
    fs::write(folder.0.join(".hidden.yaml"), GOOD).unwrap();
    assert_eq!(now(), first, "written again, and what is not read");
    fs::rename(folder.0.join("a.yaml"), folder.0.join("b.yaml")).unwrap();
    assert_ne!(now(), first, "problems name the file");
    fs::rename(folder.0.join("b.yaml"), folder.0.join("a.yaml")).unwrap();
    fs::write(folder.0.join("a.yaml"), GOOD.replace("10m", "11m")).unwrap();
    assert_ne!(now(), first);
    assert_ne!(Contents::of(&[folder.0.join("nowhere")]), Contents::of(&[]), "nor that it cannot be read");
}

#[test]
fn what_would_never_end_is_named_and_not_waited_for() {
    let folder = Folder::new().with("a.yaml", GOOD).with("deeper/b.txt", "no policy");
    symlink("..", folder.0.join("deeper/back")).unwrap();
    assert_eq!(folder.problems(), ["deeper/back: cannot be read: the link leads back to a folder that it is in"]);

    // Two ways to one folder are no loop; what is in it is there twice then.
    let folder = Folder::new().with("deeper/a.yaml", GOOD);
    symlink("deeper", folder.0.join("other")).unwrap();
    assert!(folder.problems()[0].contains("is already in"), "{:?}", folder.problems());

    let folder = Folder::new();
    let pipe = folder.0.join("p.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(folder.problems(), ["p.yaml: cannot be read: it is no regular file"]);
    assert_eq!(check(&[pipe]).1.len(), 1);
}
