//! What a condition names, and of what kind the values are: text is never equal to a number or to `true`, and no
//! text is false, so a condition that compares them always goes the same way.

use std::ops::Range;

use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};
use minijinja::machinery::parse_expr;
use minijinja::value::{Value, ValueKind};

use crate::file::params::{Kind, Params};

/// What is found in an expression, each with its place there.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) named: Vec<Named>,
    pub(super) clashes: Vec<Clash>,
}

/// What is said of steps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) at: Range<usize>,
    /// The step, and what it calls the output; none, where something else is said.
    pub(super) output: Option<(String, String)>,
}

/// Values of two kinds where they should be of one.
#[derive(Debug)]
pub(super) struct Clash {
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

/// Goes through an expression that can be parsed.
pub(super) fn found(expression: &str, params: Params<'_>) -> Found {
    let mut reader = Reader {
        expression,
        params,
        found: Found::default(),
    };
    if let Ok(parsed) = parse_expr(expression) {
        reader.decides(&parsed);
    }
    reader.found
}

/// The kind of a value; `None`: only the value tells.
type Known = Option<Of>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Text,
    Number,
    Boolean,
    List,
}

impl Of {
    fn value(value: &Value) -> Known {
        match value.kind() {
            ValueKind::String => Some(Self::Text),
            ValueKind::Number => Some(Self::Number),
            ValueKind::Bool => Some(Self::Boolean),
            ValueKind::Seq => Some(Self::List),
            _ => None,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::List => "a list",
        }
    }
}

struct Reader<'e> {
    expression: &'e str,
    params: Params<'e>,
    found: Found,
}

impl Reader<'_> {
    fn kind(&mut self, expr: &Expr<'_>) -> Known {
        match expr {
            Expr::Const(it) => Of::value(&it.value),
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => self.looked_up(expr),
            Expr::Slice(it) => {
                for bound in [&it.start, &it.stop, &it.step].into_iter().flatten() {
                    self.kind(bound);
                }
                self.kind(&it.expr)
            }
            Expr::UnaryOp(it) => match it.op {
                UnaryOpKind::Not => {
                    self.decides(&it.expr);
                    Some(Of::Boolean)
                }
                UnaryOpKind::Neg => self.kind(&it.expr).and(Some(Of::Number)),
            },
            Expr::BinOp(it) => self.of_two(it.op, &it.left, &it.right),
            Expr::Compare(it) => {
                let mut left = &it.expr;
                for next in &it.ops {
                    match next.op {
                        CompareOpKind::In | CompareOpKind::NotIn => self.is_in(left, &next.expr),
                        _ => self.same(left, &next.expr),
                    }
                    left = &next.expr;
                }
                Some(Of::Boolean)
            }
            Expr::IfExpr(it) => {
                self.decides(&it.test_expr);
                let one = self.kind(&it.true_expr);
                let other = it.false_expr.as_ref().and_then(|it| self.kind(it));
                one.filter(|_| one == other)
            }
            Expr::Filter(it) => {
                let given = it.expr.as_ref().and_then(|it| self.kind(it));
                let first = self.arguments(&it.args);
                if let (Some(Of::Text), "bool", Some(text)) = (given, it.name, &it.expr) {
                    self.undecided(text, Of::Text);
                }
                filtered(it.name, given, first)
            }
            Expr::Test(it) => {
                self.tested(it.name, &it.expr, &it.args);
                Some(Of::Boolean)
            }
            Expr::Call(it) => {
                self.kind(&it.expr);
                self.arguments(&it.args);
                None
            }
            Expr::List(it) => self.all(&it.items).and(Some(Of::List)),
            Expr::Tuple(it) => self.all(&it.items).and(Some(Of::List)),
            Expr::Map(it) => {
                self.all(&it.keys);
                self.all(&it.values);
                None
            }
        }
    }

    fn of_two(&mut self, op: BinOpKind, left: &Expr<'_>, right: &Expr<'_>) -> Known {
        match op {
            BinOpKind::ScAnd | BinOpKind::ScOr => {
                self.decides(left);
                self.decides(right);
                Some(Of::Boolean)
            }
            BinOpKind::In => {
                self.is_in(left, right);
                Some(Of::Boolean)
            }
            BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte => {
                self.same(left, right);
                Some(Of::Boolean)
            }
            BinOpKind::Concat => {
                self.kind(left);
                self.kind(right);
                Some(Of::Text)
            }
            // What these cannot do they tell.
            _ => {
                let (left, right) = (self.kind(left), self.kind(right));
                left.filter(|_| left == right)
            }
        }
    }

    /// The kind of what stands in `params`, `env` or `steps`.
    fn looked_up(&mut self, expr: &Expr<'_>) -> Known {
        let path = path(expr);
        let parts: Vec<&str> = path.iter().flatten().map(|part| &**part).collect();
        match parts[..] {
            ["steps", step, "outputs", name] => {
                let output = Some((step.to_owned(), name.to_owned()));
                self.found.named.push(Named {
                    at: at(expr),
                    output,
                });
                Some(Of::Text)
            }
            ["steps"] | ["steps", _] | ["steps", _, _] => {
                let (at, output) = (at(expr), None);
                self.found.named.push(Named { at, output });
                None
            }
            ["params", name] => self.params.kind(name).map(|kind| match kind {
                Kind::String => Of::Text,
                Kind::Integer | Kind::Number => Of::Number,
                Kind::Boolean => Of::Boolean,
            }),
            ["env", _] => Some(Of::Text),
            _ => {
                match expr {
                    Expr::GetAttr(it) => self.kind(&it.expr),
                    Expr::GetItem(it) => {
                        self.kind(&it.subscript_expr);
                        self.kind(&it.expr)
                    }
                    _ => None,
                };
                None
            }
        }
    }

    /// What has to be true or false.
    fn decides(&mut self, expr: &Expr<'_>) {
        match self.kind(expr) {
            None | Some(Of::Boolean) => {}
            Some(of) => self.undecided(expr, of),
        }
    }

    fn undecided(&mut self, expr: &Expr<'_>, of: Of) {
        let shown = self.shown(expr);
        let help = match of {
            Of::Text => self.text_help(expr, Of::Boolean),
            _ => format!("compare it with something, such as {shown} > 0"),
        };
        self.clash(
            at(expr),
            format!("{shown} is {}, neither true nor false", of.told()),
            help,
        );
    }

    /// What is compared.
    fn same(&mut self, left: &Expr<'_>, right: &Expr<'_>) {
        let kinds = (self.kind(left), self.kind(right));
        self.compare((left, kinds.0), (right, kinds.1));
    }

    fn is_in(&mut self, left: &Expr<'_>, right: &Expr<'_>) {
        let kind = self.kind(left);
        let right_kind = self.kind(right);
        match right {
            Expr::List(list) => list.items.iter().for_each(|item| {
                // It has been gone through, with what is to be told of it.
                let told = self.found.clashes.len();
                let named = self.found.named.len();
                let item_kind = self.kind(item);
                self.found.clashes.truncate(told);
                self.found.named.truncate(named);
                self.compare((left, kind), (item, item_kind));
            }),
            _ if right_kind == Some(Of::Text) => self.compare((left, kind), (right, right_kind)),
            _ => {}
        }
    }

    fn compare(&mut self, left: (&Expr<'_>, Known), right: (&Expr<'_>, Known)) {
        let (Some(of_left), Some(of_right)) = (left.1, right.1) else {
            return;
        };
        if of_left == of_right {
            return;
        }
        // What is named first, and then what it is compared with.
        let is_literal = |expr: &Expr<'_>| matches!(expr, Expr::Const(_));
        let (one, other) = match is_literal(left.0) {
            true => ((right.0, of_right), (left.0, of_left)),
            false => ((left.0, of_left), (right.0, of_right)),
        };
        let help = match (one.1, other.1) {
            (Of::Text, wanted) => self.text_help(one.0, wanted),
            (_, Of::Text) if is_literal(other.0) => {
                "numbers, and true and false, stand without quotes".to_owned()
            }
            (wanted, Of::Text) => self.text_help(other.0, wanted),
            _ => "compare values of one kind".to_owned(),
        };
        let (one_is, other_is) = (one.1.told(), other.1.told());
        let message = format!(
            "{} is {one_is}, and {} is {other_is}, so they are never equal",
            self.shown(one.0),
            self.shown(other.0)
        );
        let (left, right) = (at(left.0), at(right.0));
        self.clash(
            left.start.min(right.start)..left.end.max(right.end),
            message,
            help,
        );
    }

    /// What to do about a text where something else is wanted.
    fn text_help(&self, expr: &Expr<'_>, wanted: Of) -> String {
        let shown = self.shown(expr);
        let path = path(expr).unwrap_or_default();
        let is_param = path.first().is_some_and(|root| root == "params");
        match (wanted, is_param) {
            (Of::Number, true) => {
                format!("declare the parameter with type = \"integer\", or write {shown} | int")
            }
            (Of::Number, false) => format!("values are text; write {shown} | int"),
            (Of::Boolean, true) => format!(
                "compare it with something, such as {shown} == 'true', or declare the parameter with type = \"boolean\""
            ),
            (Of::Boolean, false) => {
                format!("compare it with something, such as {shown} == 'true'")
            }
            _ => "compare it with text, in quotes".to_owned(),
        }
    }

    fn tested(&mut self, name: &str, expr: &Expr<'_>, arguments: &[CallArg<'_>]) {
        match (name, arguments) {
            (
                "eq" | "equalto" | "==" | "ne" | "!=" | "lt" | "lessthan" | "<" | "le" | "<="
                | "gt" | "greaterthan" | ">" | "ge" | ">=",
                [CallArg::Pos(other)],
            ) => self.same(expr, other),
            ("in", [CallArg::Pos(other)]) => self.is_in(expr, other),
            ("true" | "false", _) => match self.kind(expr) {
                None | Some(Of::Boolean) => {}
                Some(of) => self.undecided(expr, of),
            },
            _ => {
                self.kind(expr);
                self.arguments(arguments);
            }
        }
    }

    /// The kind of the first of what a filter or a function is given.
    fn arguments(&mut self, arguments: &[CallArg<'_>]) -> Known {
        let kinds = arguments.iter().map(|argument| match argument {
            CallArg::Pos(it)
            | CallArg::Kwarg(_, it)
            | CallArg::PosSplat(it)
            | CallArg::KwargSplat(it) => self.kind(it),
        });
        let kinds: Vec<Known> = kinds.collect();
        kinds.first().copied().flatten()
    }

    fn all(&mut self, exprs: &[Expr<'_>]) -> Known {
        for expr in exprs {
            self.kind(expr);
        }
        Some(Of::List)
    }

    fn clash(&mut self, at: Range<usize>, message: String, help: String) {
        self.found.clashes.push(Clash { at, message, help });
    }

    /// A part of the expression as it is written.
    fn shown(&self, expr: &Expr<'_>) -> &str {
        self.expression.get(at(expr)).unwrap_or("this")
    }
}

/// The kind of what a filter makes of a value.
fn filtered(name: &str, given: Known, first: Known) -> Known {
    match name {
        "int" | "float" | "abs" | "round" | "length" | "count" | "sum" => Some(Of::Number),
        "lower" | "upper" | "title" | "capitalize" | "trim" | "replace" | "string" | "join" => {
            Some(Of::Text)
        }
        "bool" => Some(Of::Boolean),
        // Where there is a value, it has its own kind, whatever stands in for it.
        "default" | "d" => given.or(first),
        _ => None,
    }
}

/// The names that lead to a value, `None` where one of them is computed.
fn path(expr: &Expr<'_>) -> Option<Vec<String>> {
    let (inner, name) = match expr {
        Expr::Var(it) => return Some(vec![it.id.to_owned()]),
        Expr::GetAttr(it) => (&it.expr, it.name.to_owned()),
        Expr::GetItem(it) => match &it.subscript_expr {
            Expr::Const(name) => (&it.expr, name.value.as_str()?.to_owned()),
            _ => return None,
        },
        _ => return None,
    };
    let mut path = path(inner)?;
    path.push(name);
    Some(path)
}

/// Where it stands.
fn at(expr: &Expr<'_>) -> Range<usize> {
    start(expr)..expr.span().end_offset as usize
}

/// Where it begins. What is said of something has the place of that alone.
fn start(expr: &Expr<'_>) -> usize {
    let inner = match expr {
        Expr::GetAttr(it) => Some(&it.expr),
        Expr::GetItem(it) => Some(&it.expr),
        Expr::Slice(it) => Some(&it.expr),
        Expr::Call(it) => Some(&it.expr),
        Expr::Test(it) => Some(&it.expr),
        Expr::Filter(it) => it.expr.as_ref(),
        Expr::BinOp(it) => Some(&it.left),
        Expr::Compare(it) => Some(&it.expr),
        Expr::IfExpr(it) => Some(&it.true_expr),
        _ => None,
    };
    inner.map_or(expr.span().start_offset as usize, start)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn outputs(expression: &str) -> Vec<(&str, Option<(String, String)>)> {
        let (values, rules) = (BTreeMap::new(), BTreeMap::new());
        let params = Params {
            values: &values,
            rules: &rules,
        };
        let named = found(expression, params).named.into_iter();
        named
            .map(|named| (&expression[named.at], named.output))
            .collect()
    }

    #[test]
    fn outputs_are_found_however_they_are_written() {
        let output = |step: &str, name: &str| Some((step.to_owned(), name.to_owned()));
        assert_eq!(
            outputs("steps.a.outputs.b == 'true' and steps['a.b'].outputs[ \"c-d\" ] | int > 4"),
            [
                ("steps.a.outputs.b", output("a", "b")),
                ("steps['a.b'].outputs[ \"c-d\" ]", output("a.b", "c-d")),
            ]
        );
        assert_eq!(
            outputs("f(steps.a.outputs.b, [steps.a.outputs.c]) in [{'x': steps.a.outputs.d}]"),
            [
                ("steps.a.outputs.b", output("a", "b")),
                ("steps.a.outputs.c", output("a", "c")),
                ("steps.a.outputs.d", output("a", "d")),
            ]
        );
        assert_eq!(
            outputs("not steps.a.changed or steps"),
            [("steps.a.changed", None), ("steps", None)]
        );
        assert_eq!(
            outputs("steps.a-b.outputs.c or steps[params.x].outputs.c"),
            [("steps.a", None), ("steps", None)]
        );
        assert_eq!(
            outputs("params.steps == 'steps.a.outputs.b' or env. steps or mysteps.a"),
            []
        );
    }
}
