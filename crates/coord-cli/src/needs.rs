//! Which services are still needed: by the steps that name them, and by the services that do.

use std::collections::{BTreeSet, HashMap};

use crate::file::WorkflowFile;

/// Who needs which service. Units go by their places in the file.
#[derive(Debug)]
pub(crate) struct Needs {
    services: Vec<Service>,
}

#[derive(Debug, Default)]
struct Service {
    /// The steps that are not over and need it.
    users: BTreeSet<usize>,
    need: Need,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Need {
    /// It is no service, or one that nothing that runs needs.
    #[default]
    None,
    /// It is needed until its users are over.
    Users,
    /// No step of the file needs it: it is there for its own sake.
    Itself,
}

impl Needs {
    /// Who needs what in a file, given whether each unit runs by its condition.
    pub(crate) fn of(file: &WorkflowFile, runs: &[bool]) -> Self {
        let ids = file.units.iter().map(|unit| unit.id.as_str());
        let places: HashMap<&str, usize> = ids.zip(0..).collect();
        let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); file.units.len()];
        for (place, unit) in file.units.iter().enumerate() {
            let needs = unit.waits_for();
            for need in needs.filter_map(|need| places.get(need.as_str())) {
                needed_by[*need].push(place);
            }
        }
        let is_service = |place: usize| file.units[place].service().is_some();
        let services = (0..file.units.len()).map(|place| {
            if !is_service(place) {
                return Service::default();
            }
            // The file was checked: services do not need each other in a circle.
            let (mut steps, mut standing) = (BTreeSet::new(), false);
            let mut seen = BTreeSet::from([place]);
            let mut next = vec![place];
            while let Some(service) = next.pop() {
                let users = &needed_by[service];
                standing |= users.is_empty();
                for user in users.iter().copied().filter(|user| seen.insert(*user)) {
                    if is_service(user) {
                        next.push(user);
                    } else {
                        steps.insert(user);
                    }
                }
            }
            steps.retain(|step| runs[*step]);
            let need = if standing {
                Need::Itself
            } else if steps.is_empty() {
                Need::None
            } else {
                Need::Users
            };
            Service { users: steps, need }
        });
        Self {
            services: services.collect(),
        }
    }

    /// Whether a service is to be started at all.
    pub(crate) fn is_needed(&self, service: usize) -> bool {
        self.services[service].need != Need::None
    }

    /// Whether some service is there for its own sake, or needed by one that is.
    pub(crate) fn any_for_itself(&self) -> bool {
        let mut services = self.services.iter();
        services.any(|service| service.need == Need::Itself)
    }

    /// Whether a service is there for its own sake, or needed by one that is.
    pub(crate) fn stands(&self, service: usize) -> bool {
        self.services[service].need == Need::Itself
    }

    /// A step is over, and with it the need for these.
    pub(crate) fn over(&mut self, step: usize) -> Vec<usize> {
        let mut free = Vec::new();
        for (place, service) in self.services.iter_mut().enumerate() {
            let was_user = service.users.remove(&step);
            if was_user && service.users.is_empty() && service.need == Need::Users {
                free.push(place);
            }
        }
        free
    }

    /// All steps are over for good, also those that could have been undone, and with them the need for these.
    pub(crate) fn all_over(&mut self) -> Vec<usize> {
        let steps: BTreeSet<usize> = self.services.iter().flat_map(|s| s.users.clone()).collect();
        steps.into_iter().flat_map(|step| self.over(step)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NOTHING: [usize; 0] = [];

    /// Units are `name` or `name < need need`, services in capitals.
    fn needs(units: &[&str], off: &[&str]) -> (Needs, HashMap<String, usize>) {
        let mut text = String::new();
        let mut places = HashMap::new();
        for (place, unit) in units.iter().enumerate() {
            let (id, needs) = unit.split_once(" < ").unwrap_or((unit, ""));
            let kind = if id.chars().all(char::is_uppercase) {
                "service"
            } else {
                "step"
            };
            let needs: Vec<&str> = needs.split_whitespace().collect();
            text += &format!("[[{kind}]]\nid = '{id}'\nrun = 'x'\nneeds = {needs:?}\n");
            places.insert(id.to_owned(), place);
        }
        let file = WorkflowFile::parse(Path::new("a.toml"), text.as_bytes()).expect("it is right");
        let runs: Vec<bool> = file
            .units
            .iter()
            .map(|unit| !off.contains(&unit.id.as_str()))
            .collect();
        (Needs::of(&file, &runs), places)
    }

    #[test]
    fn a_service_is_needed_until_its_last_user_is_over() {
        let (mut needs, at) = needs(&["DB", "one < DB", "two < DB one", "three < two"], &[]);
        assert_eq!(needs.over(at["one"]), NOTHING);
        assert_eq!(needs.over(at["three"]), NOTHING);
        assert_eq!(needs.over(at["two"]), [at["DB"]]);
        assert_eq!(needs.over(at["two"]), NOTHING);
        assert!(!needs.any_for_itself());
    }

    #[test]
    fn a_service_is_needed_by_the_users_of_services_that_need_it() {
        let (mut needs, at) = needs(&["DB", "API < DB", "test < API", "seed < DB"], &[]);
        assert_eq!(needs.over(at["seed"]), NOTHING);
        assert_eq!(needs.over(at["test"]), [at["DB"], at["API"]]);
    }

    #[test]
    fn a_service_that_no_step_needs_is_there_for_itself_and_so_is_what_it_needs() {
        let (mut needs, at) = needs(&["DB", "WEB < DB", "test < DB"], &[]);
        assert!(needs.any_for_itself());
        assert_eq!(needs.over(at["test"]), NOTHING);
        assert!(needs.is_needed(at["DB"]) && needs.is_needed(at["WEB"]));
    }

    #[test]
    fn a_service_whose_users_do_not_run_is_not_needed() {
        let (needs, at) = needs(&["DB", "test < DB"], &["test"]);
        assert!(!needs.is_needed(at["DB"]));
        assert!(!needs.any_for_itself());
    }
}
